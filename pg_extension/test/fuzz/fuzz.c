/*
 * fuzz.c
 *	  Feed the scoring core artifacts that were tampered with.
 *
 *	  fuzz CASES FIRST ARTIFACT...
 *
 * A number stands for the same case always: what fails names its number, and
 * `fuzz 1 NUMBER ARTIFACT...` runs that case alone. Build with sanitizers, as
 * scripts/fuzz.sh does.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "fuzz.h"

/* No input may keep the core busy; sanitizers make it several times slower */
#define SECONDS_MAX 2

static uint64_t current_case;

/* The sanitizers abort as well, where their options say so */
static void
name_case(int signal_number)
{
	(void) signal_number;
	fprintf(stderr, "in case %" PRIu64 "\n", current_case);
}

void
fail_case(const char *reason)
{
	fprintf(stderr, "%s\n", reason);
	abort();
}

static void
stop_slow_case(int signal_number)
{
	(void) signal_number;
	fail_case("the case took too long");
}

static void
run_case(const Seeds *seeds, uint64_t *opened)
{
	static const struct itimerval limit = {.it_value = {SECONDS_MAX, 0}};
	Random		random = {current_case};
	Bytes		artifact;

	setitimer(ITIMER_PROF, &limit, NULL);
	artifact = mutate(&random, seeds);
	*opened += use_artifact(&random, artifact);
	free(artifact.data);
}

static Bytes
read_file(const char *path)
{
	FILE	   *file = fopen(path, "rb");
	Bytes		bytes = {NULL, 0};

	if (file == NULL || fseek(file, 0, SEEK_END) != 0)
	{
		perror(path);
		exit(2);
	}
	bytes.size = (size_t) ftell(file);
	bytes.data = malloc(bytes.size);
	rewind(file);
	if (fread(bytes.data, 1, bytes.size, file) != bytes.size)
	{
		perror(path);
		exit(2);
	}
	fclose(file);
	return bytes;
}

int
main(int count, char **arguments)
{
	Seeds		seeds = {count > 3 ? (size_t) count - 3 : 0, NULL};
	uint64_t	cases;
	uint64_t	opened = 0;

	if (seeds.count == 0)
	{
		fprintf(stderr, "usage: fuzz CASES FIRST ARTIFACT...\n");
		return 2;
	}
	cases = strtoull(arguments[1], NULL, 10);
	current_case = strtoull(arguments[2], NULL, 10);
	seeds.items = calloc(seeds.count, sizeof(Bytes));
	for (size_t i = 0; i < seeds.count; i++)
		seeds.items[i] = read_file(arguments[i + 3]);
	signal(SIGABRT, name_case);
	signal(SIGPROF, stop_slow_case);
	for (uint64_t i = 0; i < cases; i++, current_case++)
		run_case(&seeds, &opened);
	printf("%" PRIu64 " cases, %" PRIu64 " opened, %.0f cases per CPU second\n",
		   cases, opened, (double) cases * CLOCKS_PER_SEC / (double) clock());
	for (size_t i = 0; i < seeds.count; i++)
		free(seeds.items[i].data);
	free(seeds.items);
	return 0;
}
