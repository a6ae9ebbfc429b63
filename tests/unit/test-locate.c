/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding a sandbox's agent: both shims as sockets written by hand, the state as a file, all below a
 * directory of the test. What is found, in which order, and what is said when nothing is.
 */
#include "agent-proto/locate.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "tests/unit/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GO_DIR	  "run/vc/sbs/sb-1"
#define RUST_DIR  "run/kata/sb-1"
#define GO_SHIM	  GO_DIR "/shim-monitor.sock"
#define RUST_SHIM RUST_DIR "/shim-monitor.sock"
#define STATE	  GO_DIR "/persist.json"

#define REQUEST	     "GET /agent-url HTTP/1.1\r\nHost: shim\r\nConnection: close\r\n\r\n"
#define OK_LENGTH(n) "HTTP/1.1 200 OK\r\nContent-Length: " n "\r\n\r\n"
#define SHORT_USEC   (400 * CLOCK_USEC_PER_MSEC)
/* Of this a quarter is what the second one has to answer. */
#define PATIENT_USEC   (4 * CLOCK_USEC_PER_SEC)
#define PERSISTED(url) "{\"Version\":2,\"AgentState\":{\"URL\":\"" url "\"},\"Pid\":7}"

struct fixture {
	struct wire wire;
	struct locate *locate;
	bool frees_inside;
	/* what done was told */
	int outcomes;
	bool is_found;
	char url[URL_TEXT_MAX];
	char why[4096];
};

static void make_dirs(const struct fixture *f, const char *dir)
{
	char path[256];

	wire_path(&f->wire, dir, path);
	for (char *p = path + strlen(f->wire.dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		(void)mkdir(path, 0700);
	}
	assert_int_equal(mkdir(path, 0700), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || wire_init(&f->wire, "locate") < 0)
		return -1;
	make_dirs(f, GO_DIR);
	make_dirs(f, RUST_DIR);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r;

	f->locate = locate_free(f->locate);
	r = wire_done(&f->wire);
	free(f);
	return r;
}

static void remember(void *userdata, const struct url *url, const char *why)
{
	struct fixture *f = userdata;

	f->outcomes++;
	f->is_found = url != NULL;
	if (url)
		url_format(url, f->url);
	(void)snprintf(f->why, sizeof(f->why), "%s", why);
	if (f->frees_inside)
		f->locate = locate_free(f->locate);
}

static void start(struct fixture *f, uint64_t timeout_usec)
{
	struct locate_config config = {
		.sandbox_id = "sb-1",
		.root = f->wire.dir,
		.timeout_usec = timeout_usec,
		.done = remember,
		.userdata = f,
	};

	f->outcomes = 0;
	f->locate = locate_free(f->locate);
	assert_int_equal(locate_new(&f->locate, f->wire.event, &config), 0);
	assert_int_equal(f->outcomes, 0);
}

/* Answers as it is told, after it has read the one request that there is. */
static int answer(struct fixture *f, int listener, const char *text)
{
	int shim = wire_accept(&f->wire, listener);
	char asked[sizeof(REQUEST) - 1];

	wire_read(&f->wire, shim, asked, sizeof(asked));
	assert_memory_equal(asked, REQUEST, sizeof(asked));
	wire_write(&f->wire, shim, text, strlen(text));
	return shim;
}

static void assert_found(struct fixture *f, const char *url)
{
	WIRE_UNTIL(&f->wire, f->outcomes > 0);
	if (!f->is_found)
		fail_msg("not found: %s", f->why);
	assert_string_equal(f->url, url);
	assert_string_equal(f->why, "");
	wire_run(&f->wire, 0);
	assert_int_equal(f->outcomes, 1);
}

static void assert_not_found(struct fixture *f)
{
	WIRE_UNTIL(&f->wire, f->outcomes > 0);
	assert_false(f->is_found);
	wire_run(&f->wire, 0);
	assert_int_equal(f->outcomes, 1);
}

static void write_state(const struct fixture *f, const char *text)
{
	char path[256];
	int fd;

	wire_path(&f->wire, STATE, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

/* ---- who is asked ---- */

static void test_the_go_shim_is_asked_first(void **state)
{
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM), rust = wire_listen(&f->wire, RUST_SHIM);

	write_state(f, PERSISTED("vsock://9:1024"));
	start(f, 0);
	(void)answer(f, go, OK_LENGTH("14") "vsock://3:1024");
	assert_found(f, "vsock://3:1024");
	assert_false(wire_has_input(rust));
	wire_assert_no_timer(&f->wire);
}

static void test_runtime_rs_is_asked_when_there_is_no_go_shim(void **state)
{
	struct fixture *f = *state;
	int rust = wire_listen(&f->wire, RUST_SHIM);

	start(f, 0);
	(void)answer(f, rust, OK_LENGTH("32") "hvsock:///run/kata/s/c.sock:1024");
	assert_found(f, "hvsock:///run/kata/s/c.sock:1024");
}

static void test_a_shim_that_fails_is_passed_over(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\nvsock://3:1024",
		"HTTP/1.1 204 No Content\r\n\r\n",
		OK_LENGTH("0"), /* runtime-rs on an error */
		OK_LENGTH("3") "\r\n ",
		OK_LENGTH("5") "vsock",
		OK_LENGTH("17") "vsock://3:1024\nx\n",
		OK_LENGTH("99999") "vsock://3:1024",
		OK_LENGTH("-1") "vsock://3:1024",
		OK_LENGTH("14x") "vsock://3:1024",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/2 200 \r\n\r\n",
	};
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM), rust = wire_listen(&f->wire, RUST_SHIM);

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		start(f, 0);
		(void)answer(f, go, answers[i]);
		(void)answer(f, rust, OK_LENGTH("14") "vsock://4:1024");
		assert_found(f, "vsock://4:1024");
	}
}

/* Wherever it does: in the head, in the body, in what follows the last chunk. */
static void assert_no_part_is_taken(struct fixture *f, const char *whole)
{
	int go = wire_listen(&f->wire, GO_SHIM), rust = wire_listen(&f->wire, RUST_SHIM);

	for (size_t i = 0; i < strlen(whole); i++) {
		char part[256];

		(void)snprintf(part, sizeof(part), "%.*s", (int)i, whole);
		start(f, 0);
		wire_close(&f->wire, answer(f, go, part));
		wire_close(&f->wire, answer(f, rust, OK_LENGTH("14") "vsock://4:1024"));
		assert_found(f, "vsock://4:1024");
	}
	wire_close(&f->wire, go);
	wire_close(&f->wire, rust);
}

static void test_a_shim_that_hangs_up_is_passed_over(void **state)
{
	struct fixture *f = *state;

	assert_no_part_is_taken(f, OK_LENGTH("14") "vsock://3:1024");
	assert_no_part_is_taken(f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "e\r\nvsock://3:1024\r\n0\r\nTrailer: t\r\n\r\n");
}

/* It gets half the time, so that the others have theirs. */
static void test_a_silent_shim_does_not_take_the_others_time(void **state)
{
	struct fixture *f = *state;
	int rust;

	(void)wire_listen(&f->wire, GO_SHIM);
	rust = wire_listen(&f->wire, RUST_SHIM);
	start(f, PATIENT_USEC);
	(void)answer(f, rust, OK_LENGTH("14") "vsock://4:1024");
	assert_found(f, "vsock://4:1024");
}

static void test_silent_shims_leave_the_state(void **state)
{
	struct fixture *f = *state;

	(void)wire_listen(&f->wire, GO_SHIM);
	(void)wire_listen(&f->wire, RUST_SHIM);
	write_state(f, PERSISTED("vsock://5:1024"));
	start(f, SHORT_USEC);
	assert_found(f, "vsock://5:1024");
}

static void test_the_deadline_ends_it(void **state)
{
	struct fixture *f = *state;
	uint64_t begun = clock_now_usec();

	(void)wire_listen(&f->wire, GO_SHIM);
	(void)wire_listen(&f->wire, RUST_SHIM);
	start(f, SHORT_USEC);
	assert_not_found(f);
	assert_true(clock_now_usec() - begun >= SHORT_USEC / 2);
	assert_non_null(strstr(f->why, GO_SHIM));
	assert_non_null(strstr(f->why, RUST_SHIM));
	assert_non_null(strstr(f->why, strerror(ETIMEDOUT)));
}

/* A NUL ends no URL, and is no space behind one. */
static void test_a_nul_in_the_answer_is_passed_over(void **state)
{
	static const char body[] = "vsock://3:1024";
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM), rust = wire_listen(&f->wire, RUST_SHIM);
	int shim;

	start(f, 0);
	shim = answer(f, go, OK_LENGTH("15"));
	wire_write(&f->wire, shim, body, sizeof(body));
	(void)answer(f, rust, OK_LENGTH("16") "vsock://4:1024\r\n");
	assert_found(f, "vsock://4:1024");
}

/* ---- how it may answer ---- */

static void test_a_chunked_body_is_joined(void **state)
{
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM);

	start(f, 0);
	(void)answer(f, go,
		     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "5\r\nvsock\r\n6;x=y\r\n://3:1\r\n00003\r\n024\r\n0\r\nTrailer: t\r\n\r\n");
	assert_found(f, "vsock://3:1024");
}

static void test_a_body_without_length_ends_with_the_connection(void **state)
{
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM), shim;

	start(f, 0);
	shim = answer(f, go, "HTTP/1.0 200 OK\r\n\r\nvsock://3:1024\r\n");
	wire_run(&f->wire, 20 * CLOCK_USEC_PER_MSEC);
	assert_int_equal(f->outcomes, 0);
	wire_close(&f->wire, shim);
	assert_found(f, "vsock://3:1024");
}

static void test_an_answer_may_come_byte_by_byte(void **state)
{
	static const char whole[] = OK_LENGTH("14") "vsock://3:1024";
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM), shim;

	start(f, 0);
	shim = answer(f, go, "");
	for (size_t i = 0; i < sizeof(whole) - 1; i++) {
		assert_int_equal(f->outcomes, 0);
		wire_write(&f->wire, shim, whole + i, 1);
		wire_run(&f->wire, 100);
	}
	assert_found(f, "vsock://3:1024");
}

/* An endless head, an endless line, an endless body: all end at the same limit. */
static void test_an_answer_over_the_limit_is_passed_over(void **state)
{
	static const char *const begins[] = {
		"HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nX: ",
		"HTTP/1.1 200 OK\r\n\r\nvsock://3:1024",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
	};
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM), rust = wire_listen(&f->wire, RUST_SHIM);
	char flood[LOCATE_RESPONSE_MAX + 1];

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		size_t n = (size_t)snprintf(flood, sizeof(flood), "%s", begins[i]);

		while (n + 7 < sizeof(flood))
			n += (size_t)snprintf(flood + n, sizeof(flood) - n,
					      i == 0 || i == 4 ? "A: b\r\n" : "aaaaaa");
		memset(flood + n, 'z', sizeof(flood) - n);
		flood[sizeof(flood) - 1] = '\0';
		start(f, 0);
		(void)answer(f, go, flood);
		(void)answer(f, rust, OK_LENGTH("14") "vsock://4:1024");
		assert_found(f, "vsock://4:1024");
	}
}

/* ---- the state on disk ---- */

static void test_the_state_is_read_when_no_shim_answers(void **state)
{
	struct fixture *f = *state;

	write_state(f, "{\"SandboxContainer\":\"x\",\"Config\":{\"AgentState\":{\"URL\":\"vsock://"
		       "8:1\"},\"t\":\"a\\\"AgentState\\\":{}\"},\"L\":[\"AgentState\",{}],"
		       "\"AgentState\" : {\"X\":[1],\"URL\":\"hvsock:///a/b.sock:1024\"}}");
	start(f, 0);
	assert_found(f, "hvsock:///a/b.sock:1024");
}

static void test_a_state_that_says_no_url_is_passed_over(void **state)
{
	static const char *const states[] = {
		"",
		"{",
		"null",
		"[]",
		"{\"AgentState\":",
		"{\"AgentState\":null}",
		"{\"AgentState\":{}}",
		"{\"AgentState\":{\"URL\":7}}",
		"{\"AgentState\":{\"URL\":\"\"}}",
		"{\"AgentState\":{\"URL\":\"ftp://x\"}}",
		"{\"AgentState\":{\"URL\":\"vsock://3:1024\\u0000x\"}}",
		"{\"AgentState\":{\"URL\":\"vsock://3:1024\"",
		"{\"AgentState",
		"{\"AgentState\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
		"{\"x\":{\"AgentState\":{\"URL\":\"vsock://3:1024\"}}}",
		"\"AgentState\":{\"URL\":\"vsock://3:1024\"}",
		"{\"AgentState\\\"\":{\"URL\":\"vsock://3:1024\"}}",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		write_state(f, states[i]);
		start(f, 0);
		assert_not_found(f);
		assert_non_null(strstr(f->why, STATE));
	}
}

static void test_a_state_over_the_limit_is_passed_over(void **state)
{
	struct fixture *f = *state;
	char path[256];

	write_state(f, PERSISTED("vsock://3:1024"));
	wire_path(&f->wire, STATE, path);
	assert_int_equal(truncate(path, LOCATE_STATE_MAX + 1), 0);
	start(f, 0);
	assert_not_found(f);
}

static void test_the_state_is_no_link_and_no_pipe(void **state)
{
	struct fixture *f = *state;
	char path[256], other[256];

	write_state(f, PERSISTED("vsock://3:1024"));
	wire_path(&f->wire, STATE, path);
	wire_path(&f->wire, "elsewhere", other);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	start(f, 0);
	assert_not_found(f);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	start(f, 0);
	assert_not_found(f);
	assert_int_equal(unlink(path), 0);
	/* nor is the sandbox's directory */
	assert_int_equal(rename(other, path), 0);
	wire_path(&f->wire, GO_DIR, path);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	start(f, 0);
	assert_not_found(f);
}

/* ---- the rest ---- */

static void test_what_was_tried_is_said(void **state)
{
	struct fixture *f = *state;
	int rust = wire_listen(&f->wire, RUST_SHIM);

	start(f, 0);
	(void)answer(f, rust, "HTTP/1.1 500 E\r\nContent-Length: 9\r\n\r\nno agent!");
	assert_not_found(f);
	assert_non_null(strstr(f->why, GO_SHIM));
	assert_non_null(strstr(f->why, RUST_SHIM));
	assert_non_null(strstr(f->why, STATE));
	assert_non_null(strstr(f->why, strerror(ENOENT)));
	assert_non_null(strstr(f->why, "500"));
	assert_non_null(strstr(f->why, "no agent!"));
}

static void test_an_id_is_never_joined_unchecked(void **state)
{
	static const char *const ids[] = { "", ".", "..", "../sb-1", "sb-1/", "a/b", "a b", "-x" };
	struct fixture *f = *state;

	write_state(f, PERSISTED("vsock://3:1024"));
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct locate_config config = {
			.sandbox_id = ids[i],
			.root = f->wire.dir,
			.done = remember,
			.userdata = f,
		};

		assert_int_equal(locate_new(&f->locate, f->wire.event, &config), -EINVAL);
		assert_null(f->locate);
	}
}

static void test_it_may_be_freed_inside_done(void **state)
{
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM);

	f->frees_inside = true;
	start(f, 0);
	wire_close(&f->wire, answer(f, go, ""));
	assert_not_found(f);
	assert_null(f->locate);
	start(f, 0);
	(void)answer(f, go, OK_LENGTH("14") "vsock://3:1024");
	assert_found(f, "vsock://3:1024");
	assert_null(f->locate);
}

static void test_freed_it_says_nothing(void **state)
{
	struct fixture *f = *state;
	int go = wire_listen(&f->wire, GO_SHIM);

	start(f, 0);
	(void)answer(f, go, "HTTP/1.1 200");
	f->locate = locate_free(f->locate);
	wire_run(&f->wire, 10 * CLOCK_USEC_PER_MSEC);
	assert_int_equal(f->outcomes, 0);
	wire_assert_no_timer(&f->wire);
}

static void test_without_fds_it_is_not_found(void **state)
{
	struct fixture *f = *state;

	(void)wire_listen(&f->wire, GO_SHIM);
	write_state(f, PERSISTED("vsock://3:1024"));
	start(f, 0);
	wire_run(&f->wire, 0);
	wire_forbid_fds();
	WIRE_UNTIL(&f->wire, f->outcomes > 0);
	wire_allow_fds();
	assert_false(f->is_found);
	assert_non_null(strstr(f->why, strerror(EMFILE)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_go_shim_is_asked_first),
		TEST(test_runtime_rs_is_asked_when_there_is_no_go_shim),
		TEST(test_a_shim_that_fails_is_passed_over),
		TEST(test_a_shim_that_hangs_up_is_passed_over),
		TEST(test_a_silent_shim_does_not_take_the_others_time),
		TEST(test_silent_shims_leave_the_state),
		TEST(test_the_deadline_ends_it),
		TEST(test_a_nul_in_the_answer_is_passed_over),
		TEST(test_a_chunked_body_is_joined),
		TEST(test_a_body_without_length_ends_with_the_connection),
		TEST(test_an_answer_may_come_byte_by_byte),
		TEST(test_an_answer_over_the_limit_is_passed_over),
		TEST(test_the_state_is_read_when_no_shim_answers),
		TEST(test_a_state_that_says_no_url_is_passed_over),
		TEST(test_a_state_over_the_limit_is_passed_over),
		TEST(test_the_state_is_no_link_and_no_pipe),
		TEST(test_what_was_tried_is_said),
		TEST(test_an_id_is_never_joined_unchecked),
		TEST(test_it_may_be_freed_inside_done),
		TEST(test_freed_it_says_nothing),
		TEST(test_without_fds_it_is_not_found),
	};
#undef TEST

	return cmocka_run_group_tests_name("locate", tests, NULL, NULL);
}
