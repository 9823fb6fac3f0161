/*
 * script.c
 *	  The bytes that a run replays, written by the Python half.
 *
 * A first line with the range of patches; then steps, each a line
 * "PHASE AWAITED CHUNK PATCH SIZE" and SIZE bytes. PHASE is s (setup), b (before) or r (repeated).
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

static Exchange *
find_phase(Script *script, char phase)
{
	switch (phase)
	{
		case 's':
			return &script->setup;
		case 'b':
			return &script->before;
		case 'r':
			return &script->repeated;
		default:
			fail("the script has a phase %c", phase);
	}
}

static void
add_step(Exchange *exchange, Step step)
{
	Step	   *steps = realloc(exchange->steps, (exchange->count + 1) * sizeof(Step));

	if (steps == NULL)
		fail("out of memory");
	steps[exchange->count++] = step;
	exchange->steps = steps;
}

void
read_script(const char *path, Script *script)
{
	FILE	   *file = fopen(path, "rb");
	char		phase;
	Step		step;

	if (file == NULL || fscanf(file, "%u", &script->patch_range) != 1)
		fail("cannot read %s", path);
	while (fscanf(file, " %c %c %zu %td %zu", &phase, &step.awaited, &step.chunk, &step.patch,
				  &step.size) == 5)
	{
		step.bytes = malloc(step.size);
		if (step.bytes == NULL || getc(file) != '\n'
			|| fread(step.bytes, 1, step.size, file) != step.size)
			fail("%s is cut off", path);
		add_step(find_phase(script, phase), step);
	}
	if (!feof(file) || script->repeated.count == 0)
		fail("%s is no script", path);
	fclose(file);
}
