/*
 * bytes.c
 *	  Bytes that wait: for the rest of a frame, or until a socket takes them.
 */
#include "bytes.h"

#include <stdlib.h>
#include <string.h>

bool
append_bytes(Bytes **bytes, const uint8_t *data, size_t size)
{
	Bytes	   *old = *bytes;
	size_t		used = old == NULL ? 0 : old->end;

	if (size == 0)
		return true;
	if (old == NULL || old->capacity - used < size)
	{
		size_t		capacity = used + size + (old == NULL ? 0 : used / 2);
		Bytes	   *larger = realloc(old, sizeof(Bytes) + capacity);

		if (larger == NULL)
			return false;
		if (old == NULL)
			larger->start = larger->end = 0;
		larger->capacity = capacity;
		*bytes = larger;
	}
	memcpy((*bytes)->data + used, data, size);
	(*bytes)->end = used + size;
	return true;
}

void
drop_bytes(Bytes **bytes)
{
	free(*bytes);
	*bytes = NULL;
}
