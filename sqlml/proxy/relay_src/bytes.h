/*
 * bytes.h
 *	  Bytes that wait: for the rest of a frame, or until a socket takes them.
 */
#ifndef SQLML_BYTES_H
#define SQLML_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL where nothing waits, so that idle sessions take no memory */
typedef struct Bytes
{
	size_t		start;			/* what lies before was taken already */
	size_t		end;
	size_t		capacity;
	uint8_t		data[];
} Bytes;

/* Appending nothing makes nothing; false if there is no memory */
bool		append_bytes(Bytes **bytes, const uint8_t *data, size_t size);
void		drop_bytes(Bytes **bytes);

static inline size_t
count_bytes(const Bytes *bytes)
{
	return bytes == NULL ? 0 : bytes->end - bytes->start;
}

/* A number as the protocol writes it */
static inline uint32_t
read_uint32(const uint8_t *data)
{
	return (uint32_t) data[0] << 24 | (uint32_t) data[1] << 16 | (uint32_t) data[2] << 8 | data[3];
}

#endif
