/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target without a fuzzer: runs it over each file of the folders named, in order of name,
 * and says `ok FOLDER/FILE`. What a fuzzer once found stays in the corpus and is run by plain gcc
 * with every test. A finding ends the program.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define INPUT_MAX_BYTES (1024U * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* The target gets a block of exactly the file's length, so that ASan sees a read behind it. */
static int run_bytes(const uint8_t *bytes, size_t size)
{
	CLEANUP(cleanup_free) uint8_t *data = malloc(size);

	if (!data && size > 0)
		return -1;
	if (size > 0)
		memcpy(data, bytes, size);
	(void)LLVMFuzzerTestOneInput(data, size);
	return 0;
}

static int run_file(const char *folder, const char *name)
{
	CLEANUP(cleanup_free) uint8_t *bytes = malloc(INPUT_MAX_BYTES);
	CLEANUP(cleanup_free) char *path = NULL;
	CLEANUP(cleanup_fclose) FILE *file = NULL;
	size_t size;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		path = NULL;
	file = path ? fopen(path, "re") : NULL;
	if (!file || !bytes)
		return -1;
	size = fread(bytes, 1, INPUT_MAX_BYTES, file);
	if (ferror(file) || !feof(file))
		return -1;
	return run_bytes(bytes, size);
}

/* The name goes to stderr first: after a crash its last line tells which file it was. */
static int run_named(const char *folder, const char *name)
{
	int r;

	(void)fprintf(stderr, "%s/%s\n", last_part(folder), name);
	r = run_file(folder, name);
	(void)printf("%s %s/%s\n", r < 0 ? "not ok" : "ok", last_part(folder), name);
	(void)fflush(stdout);
	return r;
}

/* Return: how many files were run; -1 when one could not be. */
static int run_folder(const char *folder)
{
	struct dirent **entries = NULL;
	int n = scandir(folder, &entries, is_input, alphasort);
	int r = n;

	for (int i = 0; i < n; i++) {
		if (run_named(folder, entries[i]->d_name) < 0)
			r = -1;
		free(entries[i]);
	}
	free((void *)entries);
	return r;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int n = run_folder(argv[i]);

		if (n < 0) {
			(void)fprintf(stderr, "%s: can not be read, or not all of it\n", argv[i]);
			return 1;
		}
		total += n;
	}
	if (total == 0)
		(void)fprintf(stderr, "no input: %s FOLDER...\n", argv[0]);
	return total == 0;
}
