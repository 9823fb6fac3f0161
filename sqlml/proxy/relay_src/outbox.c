/*
 * outbox.c
 *	  Small sends that wait for the end of a round of events, to be one call.
 *
 * A send wakes whoever waits for its bytes, who then pushes the relay off
 * their common core: so it is with every single one, but once only with many
 * in one call.
 */
#include "outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* More is sent at once: copying it would cost more than the call */
#define POST_MAX 8192
#define OUTBOX_SIZE (64 * 1024)

struct Outbox
{
	Ring	   *ring;			/* NULL once it has failed */
	bool		is_open;
	unsigned	count;
	size_t		used;
	Sending		sendings[RING_SENDS_MAX];
	Side	   *sides[RING_SENDS_MAX];
	uint8_t		data[OUTBOX_SIZE];
};

Outbox *
make_outbox(void)
{
	Ring	   *ring = open_ring();
	Outbox	   *outbox = ring == NULL ? NULL : malloc(sizeof(Outbox));

	if (outbox == NULL)
	{
		close_ring(ring);
		return NULL;
	}
	outbox->ring = ring;
	outbox->is_open = false;
	outbox->count = 0;
	outbox->used = 0;
	return outbox;
}

void
free_outbox(Outbox *outbox)
{
	if (outbox != NULL)
		close_ring(outbox->ring);
	free(outbox);
}

void
open_outbox(Outbox *outbox)
{
	outbox->is_open = outbox->ring != NULL;
}

bool
put_in_outbox(Outbox *outbox, Side *side, const uint8_t *data, size_t size)
{
	Sending    *sending;

	if (outbox == NULL || !outbox->is_open || size > POST_MAX ||
		outbox->count == RING_SENDS_MAX || size > OUTBOX_SIZE - outbox->used)
		return false;
	sending = &outbox->sendings[outbox->count];
	sending->fd = side->fd;
	sending->data = memcpy(outbox->data + outbox->used, data, size);
	sending->size = size;
	outbox->sides[outbox->count++] = side;
	outbox->used += size;
	side->is_posted = true;
	return true;
}

unsigned
empty_outbox(Outbox *outbox)
{
	unsigned	count = outbox->count;
	unsigned	done = 0;

	outbox->is_open = false;
	if (count == 0)
		return 0;
	outbox->count = 0;
	outbox->used = 0;
	if (!send_by_ring(outbox->ring, outbox->sendings, count, &done))
	{
		close_ring(outbox->ring);
		outbox->ring = NULL;
	}
	for (unsigned i = done; i < count; i++)
	{
		Sending    *sending = &outbox->sendings[i];
		ssize_t		sent = send(sending->fd, sending->data, sending->size,
								MSG_NOSIGNAL | MSG_DONTWAIT);

		sending->result = sent < 0 ? -errno : sent;
	}
	for (unsigned i = 0; i < count; i++)
		outbox->sides[i]->is_posted = false;
	return count;
}

Sending *
get_sent(Outbox *outbox, unsigned place, Side **side)
{
	*side = outbox->sides[place];
	return &outbox->sendings[place];
}
