/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of a frame (Request, Response: containerd/ttrpc request.proto, google.rpc.Status) are
 * read and written by hand: five fields are fewer lines than what it takes to bound a generated
 * decoder, and a payload of 4 MiB stays where it arrived.
 */
#include "agent-proto/ttrpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cursor.h"
#include "base/error.h"

/* A buffer's first block, and the most that an idle connection keeps of each. */
#define BLOCK_BYTES 4096U

#define TYPE_REQUEST  1U
#define TYPE_RESPONSE 2U
#define TYPE_DATA     3U

#define FLAG_REMOTE_OPEN 0x2U /* more is to come: a stream, no unary call */

#define REUSED_TEXT "StreamID cannot be re-used and must increment" /* as containerd's server */

#define TAG_BYTES(field)  CURSOR_TAG(field, CURSOR_BYTES)
#define TAG_VARINT(field) CURSOR_TAG(field, CURSOR_VARINT)

enum { REQUEST_SERVICE = 1, REQUEST_METHOD, REQUEST_PAYLOAD, REQUEST_TIMEOUT, REQUEST_METADATA };
enum { RESPONSE_STATUS = 1, RESPONSE_PAYLOAD };
enum { STATUS_CODE = 1, STATUS_MESSAGE };

/* Bytes [begin, end) are waiting. */
struct buffer {
	uint8_t *data;
	size_t begin, end, capacity;
};

struct ttrpc {
	enum ttrpc_role role;
	int error; /* sticky: what ttrpc_next() says from now on */
	struct buffer in, out;
	uint64_t skip;	      /* bytes of a refused frame's body that are still to come */
	unsigned n_unwanted;  /* frames that were dropped since the last one that was wanted */
	uint32_t last_stream; /* client: used last; server: the highest that was seen */
	uint32_t open[TTRPC_CALLS_MAX];
	size_t n_open;
	/* of the last event */
	char service[TTRPC_NAME_MAX + 1];
	char method[TTRPC_NAME_MAX + 1];
	char message[TTRPC_MESSAGE_MAX + 1];
};

struct header {
	uint32_t size; /* of what follows it */
	uint32_t stream;
	uint8_t type;
	uint8_t flags;
};

/* ---- buffers ---- */

static size_t buffer_used(const struct buffer *b)
{
	return b->end - b->begin;
}

static void buffer_done(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){ 0 };
}

/* An idle connection holds no memory of a large frame that once passed. */
static void buffer_rest(struct buffer *b)
{
	if (buffer_used(b) > 0)
		return;
	b->begin = b->end = 0;
	if (b->capacity > BLOCK_BYTES)
		buffer_done(b);
}

static void buffer_compact(struct buffer *b)
{
	if (b->begin == 0) /* also: no memory yet */
		return;
	memmove(b->data, b->data + b->begin, buffer_used(b));
	b->end -= b->begin;
	b->begin = 0;
}

static int buffer_resize(struct buffer *b, size_t capacity)
{
	uint8_t *data = realloc(b->data, capacity);

	if (!data)
		return err_raise(-ENOMEM, "a buffer of %zu bytes", capacity);
	b->data = data;
	b->capacity = capacity;
	return 0;
}

/*
 * Room for @size more at the end. Moving costs what is waiting, so it is done only when that frees
 * at least as much: a peer that reads byte by byte must not make each answer cost megabytes.
 */
static int buffer_reserve(struct buffer *b, size_t size)
{
	size_t wanted;

	if (b->capacity - b->end >= size)
		return 0;
	if (b->begin >= buffer_used(b))
		buffer_compact(b);
	wanted = b->end + size;
	if (wanted <= b->capacity)
		return 0;
	/* Alone it gets what it needs; what others wait before doubles. */
	if (b->end > 0 && wanted < 2 * b->capacity)
		wanted = 2 * b->capacity;
	return err_pass(buffer_resize(b, wanted < BLOCK_BYTES ? BLOCK_BYTES : wanted));
}

/* ---- writing: room was reserved before ---- */

static size_t field_size(size_t size)
{
	return 1 + cursor_varint_size(size) + size;
}

static void put_byte(struct buffer *b, uint8_t byte)
{
	b->data[b->end++] = byte;
}

static void put_u32(struct buffer *b, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		put_byte(b, (uint8_t)(value >> shift));
}

static void put_varint(struct buffer *b, uint64_t value)
{
	b->end += cursor_put_varint(b->data + b->end, value);
}

static void put_field(struct buffer *b, uint8_t field, const void *data, size_t size)
{
	put_byte(b, TAG_BYTES(field));
	put_varint(b, size);
	if (size > 0)
		memcpy(b->data + b->end, data, size);
	b->end += size;
}

static void put_header(struct buffer *b, const struct header *h)
{
	put_u32(b, h->size);
	put_u32(b, h->stream);
	put_byte(b, h->type);
	put_byte(b, h->flags);
}

/* ---- reading ---- */

/* That field in another wire type is another message: refused, where some decoders would skip it. */
static int want_wire(const struct cursor_field *f, enum cursor_wire wire)
{
	if (f->wire == wire)
		return 0;
	return err_raise(-EBADMSG, "field %u of wire type %u", (unsigned int)f->number,
			 (unsigned int)f->wire);
}

/* ---- streams ---- */

/* Return: its place, or n_open. */
static size_t find_open(const struct ttrpc *t, uint32_t stream)
{
	size_t i = 0;

	while (i < t->n_open && t->open[i] != stream)
		i++;
	return i;
}

static bool is_open(const struct ttrpc *t, uint32_t stream)
{
	return find_open(t, stream) < t->n_open;
}

/* Return: whether it was open. */
static bool close_stream(struct ttrpc *t, uint32_t stream)
{
	size_t i = find_open(t, stream);

	if (i == t->n_open)
		return false;
	t->open[i] = t->open[--t->n_open];
	return true;
}

static void open_stream(struct ttrpc *t, uint32_t stream)
{
	t->open[t->n_open++] = stream;
	t->last_stream = stream;
}

/* ---- frames out ---- */

static int break_connection(struct ttrpc *t, int r)
{
	t->error = r;
	buffer_done(&t->in);
	buffer_done(&t->out);
	return r;
}

/* @size: of the data that is put after it. */
static int begin_frame(struct ttrpc *t, uint8_t type, uint32_t stream, size_t size)
{
	struct header h = { .size = (uint32_t)size, .stream = stream, .type = type };
	int r = buffer_reserve(&t->out, TTRPC_HEADER_BYTES + size);

	if (r < 0)
		return err_pass(r);
	put_header(&t->out, &h);
	return 0;
}

static bool output_has_room(const struct ttrpc *t, size_t size)
{
	return buffer_used(&t->out) + TTRPC_HEADER_BYTES + size <= TTRPC_OUTPUT_MAX;
}

/* The answer's frame, up to its data. What can't be answered ends the connection. */
static int begin_answer(struct ttrpc *t, uint32_t stream, size_t size)
{
	int r;

	if (!output_has_room(t, size)) {
		(void)break_connection(t, -EMSGSIZE);
		return err_raise(-ENOBUFS, "the peer doesn't read its answers");
	}
	r = begin_frame(t, TYPE_RESPONSE, stream, size);
	return r < 0 ? err_pass(break_connection(t, r)) : 0;
}

/* A string of proto3 is UTF-8, and Go drops a connection over one that is not. */
static void put_message(struct buffer *b, const char *message, size_t size)
{
	size_t at;

	put_field(b, STATUS_MESSAGE, message, size);
	for (at = b->end - size; at < b->end; at++)
		if (b->data[at] >= 0x80)
			b->data[at] = '?';
}

static int put_failure(struct ttrpc *t, uint32_t stream, enum ttrpc_code code, const char *message)
{
	size_t size = strnlen(message, TTRPC_MESSAGE_MAX);
	size_t status = 1 + cursor_varint_size(code) + (size > 0 ? field_size(size) : 0);
	int r = begin_answer(t, stream, field_size(status));

	if (r < 0)
		return err_pass(r);
	put_byte(&t->out, TAG_BYTES(RESPONSE_STATUS));
	put_varint(&t->out, status);
	put_byte(&t->out, TAG_VARINT(STATUS_CODE));
	put_varint(&t->out, code);
	if (size > 0)
		put_message(&t->out, message, size);
	return 0;
}

/* ---- frames in ---- */

static uint32_t read_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool peek_header(const struct ttrpc *t, struct header *ret)
{
	const uint8_t *at;

	if (buffer_used(&t->in) < TTRPC_HEADER_BYTES)
		return false;
	at = t->in.data + t->in.begin;
	*ret = (struct header){
		.size = read_u32(at),
		.stream = read_u32(at + 4),
		.type = at[8],
		.flags = at[9],
	};
	return true;
}

/* Its body is dropped as it comes, and takes no memory. */
static void skip_frame(struct ttrpc *t, const struct header *h)
{
	t->in.begin += TTRPC_HEADER_BYTES;
	t->skip = h->size;
}

static void drop_skipped(struct ttrpc *t)
{
	size_t size = buffer_used(&t->in);

	if (size > t->skip)
		size = (size_t)t->skip;
	t->in.begin += size;
	t->skip -= size;
}

/*
 * What a header alone decides. Asked again while a body is awaited, and then it may say otherwise:
 * the call may have been forgotten meanwhile.
 */
enum verdict {
	VERDICT_WAIT, /* wanted: handled when it is whole */
	VERDICT_DROP, /* not wanted, and not a word is said */
	VERDICT_SKIP, /* not wanted, and it was told so */
	VERDICT_EVENT,
};

static int refuse(struct ttrpc *t, uint32_t stream, enum ttrpc_code code, const char *message)
{
	int r = put_failure(t, stream, code, message);

	return r < 0 ? err_pass(r) : VERDICT_SKIP;
}

/*
 * One answer a stream, whatever comes for it: a stream that is new counts as used from then on, and
 * of one that was used nothing more is said.
 */
static int judge_data(struct ttrpc *t, const struct header *h)
{
	if (h->stream > t->last_stream)
		t->last_stream = h->stream;
	else if (!close_stream(t, h->stream))
		return VERDICT_DROP;
	return err_pass(
		refuse(t, h->stream, TTRPC_INVALID_ARGUMENT, "data for a call that takes none"));
}

static int judge_request(struct ttrpc *t, const struct header *h)
{
	if (h->stream % 2 == 0 || h->stream <= t->last_stream)
		return err_pass(refuse(t, h->stream, TTRPC_INVALID_ARGUMENT, REUSED_TEXT));
	if (h->size <= TTRPC_DATA_MAX && !(h->flags & FLAG_REMOTE_OPEN) &&
	    t->n_open < TTRPC_CALLS_MAX)
		return VERDICT_WAIT;
	t->last_stream = h->stream;
	if (h->size > TTRPC_DATA_MAX)
		return err_pass(refuse(t, h->stream, TTRPC_RESOURCE_EXHAUSTED,
				       "the request is over 4194304 bytes"));
	if (h->flags & FLAG_REMOTE_OPEN)
		return err_pass(
			refuse(t, h->stream, TTRPC_UNIMPLEMENTED, "streams are not supported"));
	return err_pass(
		refuse(t, h->stream, TTRPC_RESOURCE_EXHAUSTED, "too many calls are in flight"));
}

static int judge_response(struct ttrpc *t, const struct header *h, struct ttrpc_event *ret)
{
	if (!is_open(t, h->stream))
		return VERDICT_DROP;
	if (h->size <= TTRPC_DATA_MAX)
		return VERDICT_WAIT;
	(void)close_stream(t, h->stream);
	*ret = (struct ttrpc_event){
		.type = TTRPC_RESPONSE,
		.stream = h->stream,
		.code = TTRPC_RESOURCE_EXHAUSTED,
		.message = TTRPC_ANSWER_TOO_LONG,
		.service = "",
		.method = "",
	};
	return VERDICT_EVENT;
}

/* Return: enum verdict, -EPROTO, or what an answer met. */
static int judge(struct ttrpc *t, const struct header *h, struct ttrpc_event *ret)
{
	bool is_server = t->role == TTRPC_SERVER;

	if (h->type == TYPE_DATA)
		return is_server ? err_pass(judge_data(t, h)) : VERDICT_DROP;
	if (h->type == TYPE_REQUEST && is_server)
		return err_pass(judge_request(t, h));
	if (h->type == TYPE_RESPONSE && !is_server)
		return judge_response(t, h, ret);
	return err_raise(-EPROTO, "a frame of type %u to a %s", h->type,
			 is_server ? "server" : "client");
}

/* ---- requests ---- */

static int read_name(const struct cursor_field *f, char ret[TTRPC_NAME_MAX + 1])
{
	int r = want_wire(f, CURSOR_BYTES);

	if (r < 0)
		return err_pass(r);
	if (f->bytes.size > TTRPC_NAME_MAX)
		return err_raise(-EMSGSIZE, "a name of %zu bytes", f->bytes.size);
	if (memchr(f->bytes.data, '\0', f->bytes.size))
		return err_raise(-EBADMSG, "a name with a NUL");
	memcpy(ret, f->bytes.data, f->bytes.size);
	ret[f->bytes.size] = '\0';
	return 0;
}

static int read_timeout(const struct cursor_field *f, struct ttrpc_event *event)
{
	int r = want_wire(f, CURSOR_VARINT);

	if (r < 0)
		return err_pass(r);
	/* int64: a negative one has passed before it came, and 0 would mean none. */
	event->timeout_nsec = f->value > INT64_MAX ? 1 : f->value;
	return 0;
}

static int read_payload(const struct cursor_field *f, struct ttrpc_event *event)
{
	int r = want_wire(f, CURSOR_BYTES);

	if (r < 0)
		return err_pass(r);
	event->payload = f->bytes;
	return 0;
}

static int read_request_field(struct ttrpc *t, const struct cursor_field *f,
			      struct ttrpc_event *event, unsigned int *n_metadata)
{
	switch (f->number) {
	case REQUEST_SERVICE:
		return err_pass(read_name(f, t->service));
	case REQUEST_METHOD:
		return err_pass(read_name(f, t->method));
	case REQUEST_PAYLOAD:
		return err_pass(read_payload(f, event));
	case REQUEST_TIMEOUT:
		return err_pass(read_timeout(f, event));
	case REQUEST_METADATA: /* counted and not read: nobody here wants it */
		if (++*n_metadata > TTRPC_METADATA_MAX)
			return err_raise(-EMSGSIZE, "more than %u pairs of metadata",
					 TTRPC_METADATA_MAX);
		return err_pass(want_wire(f, CURSOR_BYTES));
	default:
		return 0;
	}
}

static int read_request(struct ttrpc *t, struct ttrpc_bytes data, struct ttrpc_event *event)
{
	struct cursor c = cursor_on(data);
	unsigned int n_metadata = 0;
	struct cursor_field f;
	int r;

	t->service[0] = t->method[0] = '\0';
	while ((r = cursor_next(&c, &f)) > 0) {
		r = read_request_field(t, &f, event, &n_metadata);
		if (r < 0)
			return err_pass(r);
	}
	return err_pass(r);
}

static int refuse_request(struct ttrpc *t, uint32_t stream, int error)
{
	err_clear();
	if (error == -EMSGSIZE)
		return err_pass(put_failure(t, stream, TTRPC_RESOURCE_EXHAUSTED,
					    "a name or the metadata is over its limit"));
	return err_pass(
		put_failure(t, stream, TTRPC_INVALID_ARGUMENT, "the request can't be decoded"));
}

/* Return: 1: *ret; 0: it was refused; negative: what the refusal met. */
static int take_request(struct ttrpc *t, const struct header *h, struct ttrpc_bytes data,
			struct ttrpc_event *ret)
{
	struct ttrpc_event event = {
		.type = TTRPC_REQUEST,
		.stream = h->stream,
		.message = "",
		.service = t->service,
		.method = t->method,
	};
	int r = read_request(t, data, &event);

	t->last_stream = h->stream;
	if (r < 0)
		return err_pass(refuse_request(t, h->stream, r));
	open_stream(t, h->stream);
	*ret = event;
	return 1;
}

/* ---- responses ---- */

/* What comes as no code of ours is still no success. */
static enum ttrpc_code code_of(uint64_t value)
{
	return value < _TTRPC_CODE_MAX ? (enum ttrpc_code)value : TTRPC_UNKNOWN;
}

/* A NUL ends it, as it would end it for each who prints it. */
static void keep_message(struct ttrpc *t, struct ttrpc_bytes bytes)
{
	size_t size = bytes.size < TTRPC_MESSAGE_MAX ? bytes.size : TTRPC_MESSAGE_MAX;

	size = strnlen(bytes.data, size);
	memcpy(t->message, bytes.data, size);
	t->message[size] = '\0';
}

static int read_status(struct ttrpc *t, const struct cursor_field *status,
		       struct ttrpc_event *event)
{
	struct cursor c = cursor_on(status->bytes);
	struct cursor_field f;
	int r = want_wire(status, CURSOR_BYTES);

	if (r < 0)
		return err_pass(r);
	while ((r = cursor_next(&c, &f)) > 0) {
		if (f.number == STATUS_CODE)
			r = want_wire(&f, CURSOR_VARINT);
		else if (f.number == STATUS_MESSAGE)
			r = want_wire(&f, CURSOR_BYTES);
		if (r < 0)
			return err_pass(r);
		if (f.number == STATUS_CODE)
			event->code = code_of(f.value);
		else if (f.number == STATUS_MESSAGE)
			keep_message(t, f.bytes);
	}
	return err_pass(r);
}

static int read_response(struct ttrpc *t, struct ttrpc_bytes data, struct ttrpc_event *event)
{
	struct cursor c = cursor_on(data);
	struct cursor_field f;
	int r;

	t->message[0] = '\0';
	while ((r = cursor_next(&c, &f)) > 0) {
		if (f.number == RESPONSE_STATUS)
			r = read_status(t, &f, event);
		else if (f.number == RESPONSE_PAYLOAD)
			r = read_payload(&f, event);
		if (r < 0)
			return err_pass(r);
	}
	return err_pass(r);
}

/* Return: 1: *ret; -EPROTO */
static int take_response(struct ttrpc *t, const struct header *h, struct ttrpc_bytes data,
			 struct ttrpc_event *ret)
{
	struct ttrpc_event event = {
		.type = TTRPC_RESPONSE,
		.stream = h->stream,
		.message = t->message,
		.service = "",
		.method = "",
	};

	if (read_response(t, data, &event) < 0)
		return err_raise(-EPROTO, "a response with %s", err_text());
	if (event.code == TTRPC_OK)
		event.message = "";
	else
		event.payload = (struct ttrpc_bytes){ 0 };
	(void)close_stream(t, h->stream);
	*ret = event;
	return 1;
}

/* Return: as take_request() and take_response(). */
static int take_frame(struct ttrpc *t, const struct header *h, struct ttrpc_event *ret)
{
	struct ttrpc_bytes data = {
		.data = t->in.data + t->in.begin + TTRPC_HEADER_BYTES,
		.size = h->size,
	};

	t->in.begin += TTRPC_HEADER_BYTES + h->size;
	if (t->role == TTRPC_SERVER)
		return err_pass(take_request(t, h, data, ret));
	return err_pass(take_response(t, h, data, ret));
}

/* What is refused is bounded by its answers, what is dropped by this alone. */
static int count_unwanted(struct ttrpc *t, int verdict)
{
	if (verdict != VERDICT_DROP)
		return 0;
	if (++t->n_unwanted > TTRPC_UNWANTED_MAX)
		return err_raise(-EPROTO, "%u frames that nobody wants", t->n_unwanted);
	return 0;
}

enum { STEP_WAIT = 0, STEP_EVENT = 1, STEP_AGAIN = 2 };

/* One step through the input: STEP_EVENT: *ret; STEP_WAIT: more bytes are wanted. */
static int step(struct ttrpc *t, struct ttrpc_event *ret)
{
	struct header h;
	int verdict, r;

	drop_skipped(t);
	if (t->skip > 0 || !peek_header(t, &h))
		return STEP_WAIT;
	verdict = judge(t, &h, ret);
	if (verdict < 0)
		return err_pass(verdict);
	if (verdict == VERDICT_WAIT) {
		if (buffer_used(&t->in) - TTRPC_HEADER_BYTES < h.size)
			return STEP_WAIT;
		t->n_unwanted = 0;
		r = take_frame(t, &h, ret);
		return r == 0 ? STEP_AGAIN : err_pass(r);
	}
	skip_frame(t, &h);
	r = count_unwanted(t, verdict);
	if (r < 0)
		return err_pass(r);
	return verdict == VERDICT_EVENT ? STEP_EVENT : STEP_AGAIN;
}

/* ---- the contract ---- */

static const char *const code_names[_TTRPC_CODE_MAX] = {
	[TTRPC_OK] = "ok",
	[TTRPC_CANCELLED] = "cancelled",
	[TTRPC_UNKNOWN] = "unknown",
	[TTRPC_INVALID_ARGUMENT] = "invalid argument",
	[TTRPC_DEADLINE_EXCEEDED] = "deadline exceeded",
	[TTRPC_NOT_FOUND] = "not found",
	[TTRPC_ALREADY_EXISTS] = "already exists",
	[TTRPC_PERMISSION_DENIED] = "permission denied",
	[TTRPC_RESOURCE_EXHAUSTED] = "resource exhausted",
	[TTRPC_FAILED_PRECONDITION] = "failed precondition",
	[TTRPC_ABORTED] = "aborted",
	[TTRPC_OUT_OF_RANGE] = "out of range",
	[TTRPC_UNIMPLEMENTED] = "unimplemented",
	[TTRPC_INTERNAL] = "internal",
	[TTRPC_UNAVAILABLE] = "unavailable",
	[TTRPC_DATA_LOSS] = "data loss",
	[TTRPC_UNAUTHENTICATED] = "unauthenticated",
};

const char *ttrpc_code_to_string(enum ttrpc_code code)
{
	return code_names[code_of(code)];
}

int ttrpc_new(struct ttrpc **ret, enum ttrpc_role role)
{
	struct ttrpc *t = calloc(1, sizeof(*t));

	if (!t)
		return err_raise(-ENOMEM, "a connection");
	t->role = role;
	*ret = t;
	return 0;
}

struct ttrpc *ttrpc_free(struct ttrpc *t)
{
	if (!t)
		return NULL;
	buffer_done(&t->in);
	buffer_done(&t->out);
	free(t);
	return NULL;
}

/* What the frame at the front asks for. Whether it is wanted was judged by ttrpc_next(). */
static size_t frame_size(const struct ttrpc *t)
{
	struct header h;

	if (t->skip > 0 || !peek_header(t, &h) || h.size > TTRPC_DATA_MAX)
		return BLOCK_BYTES;
	return TTRPC_HEADER_BYTES + h.size;
}

/*
 * Doubling towards the frame that is awaited: memory follows bytes that came, not what a header
 * says will come.
 */
static int grow_input(struct ttrpc *t)
{
	size_t wanted = frame_size(t), capacity = 2 * t->in.capacity;

	if (capacity > wanted)
		capacity = wanted;
	if (capacity < BLOCK_BYTES)
		capacity = BLOCK_BYTES;
	if (capacity <= t->in.capacity)
		return err_raise(-ENOBUFS, "a whole frame waits");
	return err_pass(buffer_resize(&t->in, capacity));
}

void *ttrpc_input(struct ttrpc *t, size_t *ret_size)
{
	if (t->error < 0)
		return NULL;
	/* Less than a frame is left when all events were taken: each byte is moved once at most. */
	buffer_compact(&t->in);
	if (t->in.end == t->in.capacity && grow_input(t) < 0)
		return NULL;
	*ret_size = t->in.capacity - t->in.end;
	return t->in.data + t->in.end;
}

void ttrpc_input_done(struct ttrpc *t, size_t size)
{
	if (t->error == 0)
		t->in.end += size;
}

int ttrpc_next(struct ttrpc *t, struct ttrpc_event *ret)
{
	int r;

	if (t->error < 0)
		return t->error;
	do {
		r = step(t, ret);
	} while (r == STEP_AGAIN);
	/* An answer that found no room has broken it already. */
	if (r < 0)
		return t->error < 0 ? t->error : break_connection(t, r);
	if (r == STEP_WAIT)
		buffer_rest(&t->in);
	return r;
}

const void *ttrpc_output(const struct ttrpc *t, size_t *ret_size)
{
	*ret_size = buffer_used(&t->out);
	return *ret_size > 0 ? t->out.data + t->out.begin : NULL;
}

void ttrpc_output_done(struct ttrpc *t, size_t size)
{
	t->out.begin += size;
	buffer_rest(&t->out);
}

/* ---- client ---- */

static size_t request_size(size_t service, size_t method, size_t payload, uint64_t timeout_nsec)
{
	return field_size(service) + field_size(method) + (payload > 0 ? field_size(payload) : 0) +
	       (timeout_nsec > 0 ? 1 + cursor_varint_size(timeout_nsec) : 0);
}

/* Return: 0 when a call of @size may be made now. */
static int check_call(const struct ttrpc *t, size_t size)
{
	if (t->error < 0)
		return err_raise(t->error, "call on a broken connection");
	if (size > TTRPC_DATA_MAX)
		return err_raise(-EMSGSIZE, "a request of %zu bytes", size);
	if (t->n_open == TTRPC_CALLS_MAX)
		return err_raise(-EBUSY, "%zu calls are in flight", t->n_open);
	if (!output_has_room(t, size))
		return err_raise(-EBUSY, "%zu bytes wait for the peer", buffer_used(&t->out));
	if (t->last_stream == UINT32_MAX)
		return err_raise(-EOVERFLOW, "no stream id is left");
	return 0;
}

int ttrpc_call(struct ttrpc *t, const char *service, const char *method, struct ttrpc_bytes payload,
	       uint64_t timeout_nsec, uint32_t *ret_stream)
{
	size_t n_service = strlen(service), n_method = strlen(method);
	uint32_t stream = t->last_stream == 0 ? 1 : t->last_stream + 2;
	size_t size;
	int r;

	if (n_service > TTRPC_NAME_MAX || n_method > TTRPC_NAME_MAX)
		return err_raise(-EMSGSIZE, "a name over %u bytes", TTRPC_NAME_MAX);
	if (timeout_nsec > INT64_MAX)
		timeout_nsec = INT64_MAX;
	size = request_size(n_service, n_method, payload.size, timeout_nsec);
	r = check_call(t, size);
	if (r == 0)
		r = begin_frame(t, TYPE_REQUEST, stream, size);
	if (r < 0)
		return err_pass(r);
	put_field(&t->out, REQUEST_SERVICE, service, n_service);
	put_field(&t->out, REQUEST_METHOD, method, n_method);
	if (payload.size > 0)
		put_field(&t->out, REQUEST_PAYLOAD, payload.data, payload.size);
	if (timeout_nsec > 0) {
		put_byte(&t->out, TAG_VARINT(REQUEST_TIMEOUT));
		put_varint(&t->out, timeout_nsec);
	}
	open_stream(t, stream);
	*ret_stream = stream;
	return 0;
}

void ttrpc_forget(struct ttrpc *t, uint32_t stream)
{
	if (t->role == TTRPC_CLIENT)
		(void)close_stream(t, stream);
}

void ttrpc_skip_streams(struct ttrpc *t, uint32_t last)
{
	t->last_stream = last;
}

/* ---- server ---- */

int ttrpc_answer(struct ttrpc *t, uint32_t stream, struct ttrpc_bytes payload)
{
	size_t size = payload.size > 0 ? field_size(payload.size) : 0;
	int r;

	if (t->error < 0 || t->role != TTRPC_SERVER || !close_stream(t, stream))
		return 0;
	if (payload.size > TTRPC_DATA_MAX || size > TTRPC_DATA_MAX) {
		r = put_failure(t, stream, TTRPC_RESOURCE_EXHAUSTED, TTRPC_ANSWER_TOO_LONG);
		return r < 0 ? err_pass(r)
			     : err_raise(-EMSGSIZE, "an answer of %zu bytes", payload.size);
	}
	r = begin_answer(t, stream, size);
	if (r < 0)
		return err_pass(r);
	if (size > 0)
		put_field(&t->out, RESPONSE_PAYLOAD, payload.data, payload.size);
	return 0;
}

int ttrpc_fail(struct ttrpc *t, uint32_t stream, enum ttrpc_code code, const char *message)
{
	if (t->error < 0 || t->role != TTRPC_SERVER || !close_stream(t, stream))
		return 0;
	/* A failure that says "ok" would be an answer. */
	return err_pass(put_failure(t, stream, code == TTRPC_OK ? TTRPC_UNKNOWN : code, message));
}
