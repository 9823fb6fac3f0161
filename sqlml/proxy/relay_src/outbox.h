/*
 * outbox.h
 *	  Small sends that wait for the end of a round of events, to be one call.
 */
#ifndef SQLML_OUTBOX_H
#define SQLML_OUTBOX_H

#include "relay.h"
#include "ring.h"

typedef struct Outbox Outbox;

/* For the calling thread alone. NULL where nothing can be sent together */
Outbox	   *make_outbox(void);
void		free_outbox(Outbox *outbox);

/* From then on sends may wait in it */
void		open_outbox(Outbox *outbox);

/* False if the bytes are not to wait, or no room is left; a side may have them here once */
bool		put_in_outbox(Outbox *outbox, Side *side, const uint8_t *data, size_t size);

/* Close it and send all; what it sent can be got until it is opened again */
unsigned	empty_outbox(Outbox *outbox);
Sending    *get_sent(Outbox *outbox, unsigned place, Side **side);

#endif
