/*
 * frames.c
 *	  Where frames begin and what they mean for the session.
 */
#include "frames.h"

#include <string.h>

#include "prefilter.h"

#define HEADER_SIZE 5
#define READY_SIZE (HEADER_SIZE + 1)
#define AUTHENTICATION_SIZE (HEADER_SIZE + 4)
/* Names and values of the parameters that matter are far shorter */
#define PARAMETER_SIZE_MAX 512

static inline size_t
least(size_t one, size_t other)
{
	return one < other ? one : other;
}

/* The bytes of a frame that was looked at already */
static inline size_t
pass_rest(Side *side, size_t size)
{
	size_t		passed = least(side->passing, size);

	side->passing -= (uint32_t) passed;
	side->needed = HEADER_SIZE;
	return passed;
}

/* The size of a frame with its code; 0 if it makes no sense */
static inline size_t
read_frame_size(const uint8_t *frame)
{
	uint32_t	length = read_uint32(frame + 1);

	return length < HEADER_SIZE - 1 || length > INT32_MAX ? 0 : (size_t) length + 1;
}

/* Find the text of a Query or Parse; 0 if it has none or more bytes are needed */
static size_t
find_text(Side *client, const uint8_t *frame, size_t size, size_t frame_size)
{
	size_t		window = least(frame_size, HEADER_SIZE + LOOK_BYTES);
	const uint8_t *end;

	client->needed = HEADER_SIZE;
	if (frame[0] == 'Q')
		return HEADER_SIZE;
	end = memchr(frame + HEADER_SIZE, '\0', least(size, window) - HEADER_SIZE);
	if (end != NULL)
		return (size_t) (end - frame) + 1;
	if (size < window)
		client->needed = window;
	return 0;
}

/* Whether a Query or Parse is ours; sets client->needed where more of it is needed to tell */
static bool
is_ours(Relay *relay, Session *session, const uint8_t *frame, size_t size, size_t frame_size)
{
	size_t		start = find_text(&session->client, frame, size, frame_size);
	size_t		end = least(frame_size, start + LOOK_BYTES);
	const Settings *settings = &relay->settings;

	if (start == 0)
		return false;
	if (size < end)
	{
		session->client.needed = end;
		return false;
	}
	if (!may_concern_us(frame + start, end - start))
		return false;
	return settings->decide(settings->argument, session, frame + start,
							strnlen((const char *) frame + start, end - start));
}

static inline bool
is_tracked(uint8_t code)
{
	switch (code)
	{
		case 'Q':
		case 'P':
		case 'B':
		case 'D':
		case 'E':
		case 'C':
		case 'S':
		case 'F':
		case 'c':
		case 'f':
			return true;
		default:
			return false;
	}
}

size_t
look_at_client(Relay *relay, Session *session, const uint8_t *data, size_t size, Verdict *verdict)
{
	Side	   *client = &session->client;
	size_t		at = pass_rest(client, size);

	*verdict = PASS;
	if (client->is_blind || session->is_replication)
		return size;
	while (size - at >= HEADER_SIZE)
	{
		const uint8_t *frame = data + at;
		size_t		frame_size = read_frame_size(frame);

		if (frame_size == 0)
		{
			/* The server knows best how to answer; from here on it gets the bytes */
			client->is_blind = true;
			return size;
		}
		/* Who is let in at all is decided here, so nobody leaves before that */
		if ((frame[0] == 'Q' || frame[0] == 'P') && session->conversation.is_logged_in)
		{
			if (is_ours(relay, session, frame, size - at, frame_size))
				*verdict = MIGRATE;
			if (*verdict == MIGRATE || client->needed > HEADER_SIZE)
				return at;
		}
		if (is_tracked(frame[0]) && !note_sent(&session->conversation, frame[0]))
		{
			*verdict = GIVE_UP;
			return at;
		}
		if (frame_size > size - at)
		{
			client->passing = (uint32_t) (frame_size - (size - at));
			return size;
		}
		at += frame_size;
	}
	return at;
}

static void
read_parameter(Session *session, const char *payload, size_t size)
{
	const char *value = memchr(payload, '\0', size);
	size_t		room = value == NULL ? 0 : size - (size_t) (value + 1 - payload);

	if (room == 0 || memchr(++value, '\0', room) == NULL)
		return;
	if (strcmp(payload, "standard_conforming_strings") == 0)
		session->standard_conforming_strings = strcmp(value, "on") == 0;
	else if (strcmp(payload, "client_encoding") == 0)
	{
		size_t		length = least(strlen(value), ENCODING_SIZE - 1);

		memcpy(session->client_encoding, value, length);
		session->client_encoding[length] = '\0';
	}
}

/* How much of a frame from the server must be there before any of it goes on */
static inline size_t
count_wanted(uint8_t code, size_t frame_size)
{
	switch (code)
	{
		case 'Z':
			return least(frame_size, READY_SIZE);
		case 'R':
			return least(frame_size, AUTHENTICATION_SIZE);
		case 'S':
			return frame_size <= PARAMETER_SIZE_MAX ? frame_size : 0;
		default:
			return 0;
	}
}

/* False if the server lets in whom it must not */
static bool
check_authentication(const Relay *relay, Session *session, const uint8_t *frame, size_t wanted)
{
	if (session->conversation.is_logged_in || wanted < AUTHENTICATION_SIZE)
		return true;
	if (read_uint32(frame + HEADER_SIZE) != 0)
		session->was_challenged = true;
	return session->was_challenged || !relay->settings.rules.refuses_unchallenged;
}

size_t
look_at_upstream(Relay *relay, Session *session, const uint8_t *data, size_t size,
				 Verdict *verdict)
{
	Side	   *upstream = &session->upstream;
	size_t		at = pass_rest(upstream, size);

	*verdict = PASS;
	if (upstream->is_blind || (session->is_replication && session->conversation.is_logged_in))
		return size;
	while (size - at >= HEADER_SIZE)
	{
		const uint8_t *frame = data + at;
		size_t		frame_size = read_frame_size(frame);
		size_t		wanted;

		if (frame_size == 0)
		{
			/* Nobody can tell any more which reply is whose */
			upstream->is_blind = true;
			session->client.is_blind = true;
			return size;
		}
		wanted = count_wanted(frame[0], frame_size);
		if (wanted > size - at)
		{
			upstream->needed = wanted;
			return at;
		}
		if (frame[0] == 'Z' && wanted == READY_SIZE)
			note_ready(&session->conversation, frame[HEADER_SIZE]);
		else if (frame[0] == 'S' && wanted > 0)
			read_parameter(session, (const char *) frame + HEADER_SIZE, wanted - HEADER_SIZE);
		else if (frame[0] == 'R' && !check_authentication(relay, session, frame, wanted))
		{
			*verdict = REFUSE;
			return at;
		}
		else if (frame[0] != 'D' && frame[0] != 'd')
			note_received(&session->conversation, frame[0]);
		if (frame_size > size - at)
		{
			upstream->passing = (uint32_t) (frame_size - (size - at));
			return size;
		}
		at += frame_size;
	}
	return at;
}
