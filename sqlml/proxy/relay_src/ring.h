/*
 * ring.h
 *	  Many sends by one call of the kernel (io_uring), where it lets us.
 */
#ifndef SQLML_RING_H
#define SQLML_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_SENDS_MAX 64

typedef struct Ring Ring;

typedef struct Sending
{
	int			fd;
	const uint8_t *data;
	size_t		size;
	int64_t		result;			/* the bytes taken, or minus errno, as of send() */
} Sending;

/* For the calling thread alone. NULL where the system does not have or allow it */
Ring	   *open_ring(void);
void		close_ring(Ring *ring);

/*
 * Try to send to sockets, all of them different, without waiting. False if the
 * kernel did not take all of them: the first `*done` have their results, and
 * the ring must be closed.
 */
bool		send_by_ring(Ring *ring, Sending *sendings, unsigned count, unsigned *done);

#endif
