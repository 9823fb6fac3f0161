/*
 * frames.h
 *	  Where frames begin and what they mean for the session; their bytes stay as they are.
 */
#ifndef SQLML_FRAMES_H
#define SQLML_FRAMES_H

#include "internal.h"

typedef enum Verdict
{
	PASS,						/* pass on what was looked at, hold the rest */
	MIGRATE,					/* what follows is ours */
	REFUSE,						/* the server lets in whom it must not */
	GIVE_UP,					/* no memory */
} Verdict;

/*
 * Look at bytes that begin where the last look ended. Returns how many can be
 * passed on; the rest must come again with at least side->needed bytes.
 */
size_t		look_at_client(Relay *relay, Session *session, const uint8_t *data, size_t size,
						   Verdict *verdict);
size_t		look_at_upstream(Relay *relay, Session *session, const uint8_t *data, size_t size,
							 Verdict *verdict);

#endif
