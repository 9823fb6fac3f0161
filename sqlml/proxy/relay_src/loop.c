/*
 * loop.c
 *	  The thread: waits for sockets and deadlines, accepts, does what it is asked.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EVENT_COUNT 128
#define PAUSE_MS 100
#define RETRY_MS 10
#define SLICE_NS (12 * 1000 * 1000)

uint64_t
read_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

static bool
watch(const Relay *relay, int fd, void *data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};

	return epoll_ctl(relay->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Without the first, Parse and Sync in two writes take 44 ms instead of 0.7 ms */
void
set_tcp_options(int fd)
{
	int			on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static bool
is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;

	if (address->ss_family == AF_INET)
		return (ntohl(v4->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
	return address->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/*
 * Within one machine no more than a read or two may wait (the kernel doubles the
 * size): larger buffers, which a network needs, let data grow cold before it is read
 */
void
limit_buffers(int fd, const struct sockaddr_storage *peer)
{
	int			size = READ_SIZE / 4 * 3;

	if (!is_loopback(peer))
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* Accepted sockets inherit the options of TCP */
static bool
set_listener_options(int fd)
{
	set_tcp_options(fd);
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
}

static bool
start_accepting(Relay *relay)
{
	relay->is_accepting = true;
	for (int i = 0; i < relay->settings.listener_count; i++)
		if (!watch(relay, relay->listen_fds[i], &relay->listen_fds[i]))
			return false;
	return true;
}

/* The descriptors are duplicates: closing them would not make epoll forget the sockets */
static void
stop_accepting(Relay *relay)
{
	relay->is_accepting = false;
	for (int i = 0; i < relay->settings.listener_count; i++)
		epoll_ctl(relay->epoll_fd, EPOLL_CTL_DEL, relay->listen_fds[i], NULL);
}

static bool
open_relay(Relay *relay, const Settings *settings)
{
	relay->scratch = malloc(HELD_MAX + READ_SIZE);
	relay->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	relay->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	relay->command_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (relay->scratch == NULL || relay->epoll_fd < 0 || relay->event_fd < 0 ||
		relay->command_fd < 0 || !watch(relay, relay->command_fd, NULL))
		return false;
	for (int i = 0; i < settings->listener_count; i++)
	{
		relay->listen_fds[i] = fcntl(settings->listen_fds[i], F_DUPFD_CLOEXEC, 0);
		if (relay->listen_fds[i] < 0 || !set_listener_options(relay->listen_fds[i]))
			return false;
	}
	return start_accepting(relay);
}

Relay *
make_relay(const Settings *settings)
{
	Relay	   *relay = calloc(1, sizeof(Relay));
	int			error;

	if (relay == NULL)
		return NULL;
	relay->settings = *settings;
	relay->post.rules = settings->rules;
	relay->next_id = settings->first_id;
	relay->epoll_fd = relay->event_fd = relay->command_fd = -1;
	for (int i = 0; i < LISTENERS_MAX; i++)
		relay->listen_fds[i] = -1;
	pthread_mutex_init(&relay->post.lock, NULL);
	if (open_relay(relay, settings))
		return relay;
	error = errno;
	free_relay(relay);
	errno = error;
	return NULL;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
free_list(Session *session)
{
	while (session != NULL)
	{
		Session    *next = session->next;

		close_fd(&session->client.fd);
		close_fd(&session->upstream.fd);
		free_session(session);
		session = next;
	}
}

static void
close_listeners(Relay *relay)
{
	for (int i = 0; i < LISTENERS_MAX; i++)
		close_fd(&relay->listen_fds[i]);
}

void
free_relay(Relay *relay)
{
	free_list(relay->post.given);
	free_list(relay->post.taken.first);
	close_listeners(relay);
	close_fd(&relay->epoll_fd);
	close_fd(&relay->event_fd);
	close_fd(&relay->command_fd);
	pthread_mutex_destroy(&relay->post.lock);
	free(relay->scratch);
	free(relay);
}

/* What cannot be accepted now must not wake the thread over and over */
static void
pause_accepting(Relay *relay)
{
	stop_accepting(relay);
	relay->accept_again_ms = read_clock_ms() + PAUSE_MS;
}

static void
admit(Relay *relay, int fd)
{
	Session    *session = make_session(fd, -1);

	if (session == NULL)
	{
		close(fd);
		return;
	}
	session->id = relay->next_id++;
	count(relay, COUNT_CONNECTIONS_TOTAL, 1);
	atomic_fetch_add(&relay->present, 1);
	enter_phase(relay, session, PHASE_STARTUP);
	update_interest(relay, session);
}

/* One: if there are more, epoll tells so with what else there is to do */
static void
accept_client(Relay *relay, int listen_fd)
{
	struct sockaddr_storage peer = {0};
	socklen_t	size = sizeof(peer);
	int			fd;

	if (!relay->is_accepting)
		return;
	fd = accept4(listen_fd, (struct sockaddr *) &peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
	{
		limit_buffers(fd, &peer);
		admit(relay, fd);
	}
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		pause_accepting(relay);
}

static void
for_each(Relay *relay, Phase phase, void (*action) (Relay *, Session *))
{
	Session    *next;

	for (Session *session = relay->phases[phase].first; session != NULL; session = next)
	{
		next = session->next;
		action(relay, session);
	}
}

static void
start_draining(Relay *relay)
{
	relay->is_draining = true;
	relay->accept_again_ms = 0;
	stop_accepting(relay);
	close_listeners(relay);
	for_each(relay, PHASE_STARTUP, abort_session);
	for_each(relay, PHASE_RELAYING, dismiss_if_drained);
	signal_events(relay);
}

static void
take_back(Relay *relay, Session *session)
{
	while (session != NULL)
	{
		Session    *next = session->next;

		start_relaying(relay, session);
		session = next;
	}
}

static void
obey(Relay *relay)
{
	Post	   *post = &relay->post;
	eventfd_t	ignored;
	Session    *given;
	bool		is_draining;

	eventfd_read(relay->command_fd, &ignored);
	pthread_mutex_lock(&post->lock);
	given = post->given;
	post->given = NULL;
	relay->settings.rules = post->rules;
	relay->is_stopping = post->is_stopping;
	is_draining = post->is_draining;
	pthread_mutex_unlock(&post->lock);
	take_back(relay, given);
	if (is_draining && !relay->is_draining)
		start_draining(relay);
}

static inline uint64_t
earlier(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

/* Milliseconds to the next deadline; -1 if there is none */
static int
get_timeout(const Relay *relay)
{
	uint64_t	deadline = UINT64_MAX;
	uint64_t	now;

	for (int phase = 0; phase < PHASE_COUNT; phase++)
		if (phase != PHASE_RELAYING && relay->phases[phase].first != NULL)
			deadline = earlier(deadline, relay->phases[phase].first->deadline_ms);
	if (relay->accept_again_ms != 0)
		deadline = earlier(deadline, relay->accept_again_ms);
	if (deadline == UINT64_MAX)
		return -1;
	now = read_clock_ms();
	if (relay->phases[PHASE_RETRYING].first != NULL)
		deadline = earlier(deadline, now + RETRY_MS);
	/* A little later rather than too early, and then again */
	return deadline <= now ? 0 : (int) earlier(deadline - now + 1, INT32_MAX);
}

static void
expire(Relay *relay, Phase phase, uint64_t now, void (*action) (Relay *, Session *))
{
	Session    *session;

	while ((session = relay->phases[phase].first) != NULL && session->deadline_ms <= now)
		action(relay, session);
}

static void
refuse_slow(Relay *relay, Session *session)
{
	count(relay, COUNT_START_UPS_REFUSED, 1);
	tell_refusal(relay, session, REFUSED_SLOW);
	abort_session(relay, session);
}

static void
check_deadlines(Relay *relay)
{
	uint64_t	now = read_clock_ms();

	expire(relay, PHASE_STARTUP, now, refuse_slow);
	expire(relay, PHASE_CONNECTING, now, give_away_unconnected);
	expire(relay, PHASE_RETRYING, now, give_away_unconnected);
	expire(relay, PHASE_CLOSING, now, abort_session);
	expire(relay, PHASE_DRAINING, now, abort_session);
	for_each(relay, PHASE_RETRYING, retry_connecting);
	if (relay->accept_again_ms != 0 && relay->accept_again_ms <= now)
	{
		relay->accept_again_ms = 0;
		if (!start_accepting(relay))
			pause_accepting(relay);
	}
}

static inline bool
is_listener(const Relay *relay, const void *data)
{
	return data >= (const void *) relay->listen_fds &&
		data < (const void *) (relay->listen_fds + LISTENERS_MAX);
}

/* A session may end with one event and be named by the next one */
static void
handle(Relay *relay, const struct epoll_event *event)
{
	Side	   *side = event->data.ptr;

	if (event->data.ptr == NULL)
		obey(relay);
	else if (is_listener(relay, event->data.ptr))
		accept_client(relay, *(const int *) event->data.ptr);
	else
	{
		if (side->interest & EPOLLOUT && event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			on_writable(relay, side);
		if (side->interest & EPOLLIN && event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			on_readable(relay, side);
	}
}

static void
free_closed(Relay *relay)
{
	Session    *session = relay->closed;

	relay->closed = NULL;
	while (session != NULL)
	{
		Session    *next = session->next;

		free_session(session);
		session = next;
	}
}

static void
dismiss(Relay *relay, Session *session)
{
	/* Words of ours would not be understood within a message of the server's */
	if (session->conversation.is_logged_in && session->client.unsent == NULL &&
		session->upstream.passing == 0 && session->upstream.held == NULL)
		say_goodbye(relay, session);
	abort_session(relay, session);
}

/*
 * Whoever asks for long slices has his turn later. Here that lets a server that
 * was woken by the first of its client's bytes get on with them. Kernels before
 * 6.12 ignore it
 */
static void
lengthen_slice(void)
{
	/* The kernel's sched_attr, as its header and the C library's exclude each other */
	struct
	{
		uint32_t	size;
		uint32_t	policy;
		uint64_t	flags;
		int32_t		nice;
		uint32_t	priority;
		uint64_t	runtime;
		uint64_t	deadline;
		uint64_t	period;
	}			attributes = {0};

	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0)
		return;
	attributes.runtime = SLICE_NS;
	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void
run_relay(Relay *relay)
{
	struct epoll_event events[EVENT_COUNT];

	lengthen_slice();
	/* By the thread that will use it */
	relay->outbox = make_outbox();
	while (!relay->is_stopping)
	{
		int			timeout = get_timeout(relay);
		int			event_count = epoll_wait(relay->epoll_fd, events, EVENT_COUNT, timeout);

		if (event_count > 1 && relay->outbox != NULL)
			open_outbox(relay->outbox);
		for (int i = 0; i < event_count; i++)
			handle(relay, &events[i]);
		send_posted(relay);
		if (timeout >= 0)
			check_deadlines(relay);
		deliver_leaving(relay);
		free_closed(relay);
	}
	for (int phase = 0; phase < PHASE_COUNT; phase++)
		for_each(relay, (Phase) phase, dismiss);
	free_closed(relay);
	free_outbox(relay->outbox);
	relay->outbox = NULL;
}
