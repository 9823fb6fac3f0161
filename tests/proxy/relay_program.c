/*
 * relay_program.c
 *	  The relay without Python, to be built with sanitizers and attacked.
 *
 *     relay_program LISTEN_PORT UPSTREAM_PORT
 *
 * Of the texts that the prefilter lets through every other one changes hands
 * and comes back at once. Clients whose start is not plain are hung up on.
 * SIGTERM drains, a second one stops; the exit code is 0 if nothing is left.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "relay.h"

static const uint8_t SHUTDOWN[] = "E\0\0\0\x28SFATAL\0VFATAL\0C57P01\0Mstopping now\0";
static const uint8_t TOO_MANY[] = "E\0\0\0\x28SFATAL\0VFATAL\0C53300\0Mtoo many now\0";

static bool
decide(void *argument, const Session *session, const uint8_t *text, size_t size)
{
	unsigned int *calls = argument;
	unsigned int sum = 0;

	(void) session;
	for (size_t i = 0; i < size; i++)
		sum += text[i];
	return (++*calls & 1) == 1 && sum != 0;
}

static int
open_listener(struct sockaddr_in address)
{
	int			on = 1;
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0 &&
		listen(fd, 1024) == 0 ? fd : -1;
}

static void *
run(void *relay)
{
	run_relay(relay);
	return NULL;
}

static void
take_all(Relay *relay)
{
	Session    *session;

	while ((session = take_session(relay)) != NULL)
	{
		if (session->upstream.fd >= 0)
			give_session(relay, session);
		else
		{
			close(session->client.fd);
			free_session(session);
		}
		forget_session(relay);
	}
}

static int
open_signals(void)
{
	sigset_t	signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void
serve(Relay *relay, int signal_fd)
{
	struct pollfd fds[] = {{.fd = get_event_fd(relay), .events = POLLIN},
	{.fd = signal_fd, .events = POLLIN}};
	int			signal_count = 0;
	struct signalfd_siginfo info;

	while (signal_count < 2 && (signal_count == 0 || count_sessions(relay) > 0))
	{
		if (poll(fds, 2, 1000) <= 0)
			continue;
		take_all(relay);
		if (fds[1].revents != 0 && read(signal_fd, &info, sizeof(info)) > 0 && signal_count++ == 0)
			drain_relay(relay);
	}
}

int
main(int argument_count, char **arguments)
{
	static int64_t counters[BLOCK_SLOTS];
	unsigned int calls = 0;
	Settings	settings = {
		.listener_count = 1, .first_id = 1, .decide = decide, .argument = &calls,
		.counters = counters, .block_count = 1,
		.rules = {.upstream_size = sizeof(struct sockaddr_in), .sessions = 5000,
			.own_sessions = 5000, .startup_ms = 2000, .connect_ms = 2000,
		.declines_encryption = true, .relays_unencrypted = true},
		.too_many = {TOO_MANY, sizeof(TOO_MANY)}, .unchallenged = {TOO_MANY, sizeof(TOO_MANY)},
		.shutdown = {SHUTDOWN, sizeof(SHUTDOWN)}
	};
	struct sockaddr_in *upstream = (struct sockaddr_in *) &settings.rules.upstream;
	struct sockaddr_in address = {.sin_family = AF_INET};
	int			signal_fd = open_signals();
	Relay	   *relay;
	pthread_t	thread;
	bool		is_clean;

	if (argument_count != 3)
		return 2;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*upstream = address;
	address.sin_port = htons((uint16_t) atoi(arguments[1]));
	upstream->sin_port = htons((uint16_t) atoi(arguments[2]));
	settings.listen_fds[0] = open_listener(address);
	relay = make_relay(&settings);
	if (settings.listen_fds[0] < 0 || relay == NULL ||
		pthread_create(&thread, NULL, run, relay) != 0)
		return 2;
	serve(relay, signal_fd);
	stop_relay(relay);
	pthread_join(thread, NULL);
	take_all(relay);
	is_clean = counters[COUNT_SESSIONS] == 0 && count_sessions(relay) == 0;
	free_relay(relay);
	close(settings.listen_fds[0]);
	close(signal_fd);
	return is_clean ? 0 : 1;
}
