/*
 * ring.c
 *	  The kernel's rings of requests and results, as far as sends need them.
 *
 * A send that may not wait is done while it is submitted, so its result is
 * there when the call returns. Without the kernel's headers, on kernels before
 * 6.1, and where a sandbox forbids it, there is no ring.
 */
#include "ring.h"

#include <stdlib.h>

#if defined(__has_include)
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif
#endif

/* The youngest of the flags below, so that a header with it has the others */
#ifdef IORING_SETUP_DEFER_TASKRUN

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct Ring
{
	int			fd;
	void	   *rings;			/* of requests and of results, in one mapping */
	size_t		rings_size;
	struct io_uring_sqe *requests;
	size_t		requests_size;
	_Atomic uint32_t *request_tail;
	uint32_t	request_mask;
	uint32_t   *request_places;
	_Atomic uint32_t *result_head;
	_Atomic uint32_t *result_tail;
	uint32_t	result_mask;
	const struct io_uring_cqe *results;
};

static void *
map(int fd, size_t size, off_t offset)
{
	void	   *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
							  offset);

	return mapped == MAP_FAILED ? NULL : mapped;
}

static void
find_parts(Ring *ring, const struct io_uring_params *params)
{
	uint8_t    *rings = ring->rings;

	ring->request_tail = (_Atomic uint32_t *) (rings + params->sq_off.tail);
	ring->request_mask = *(uint32_t *) (rings + params->sq_off.ring_mask);
	ring->request_places = (uint32_t *) (rings + params->sq_off.array);
	ring->result_head = (_Atomic uint32_t *) (rings + params->cq_off.head);
	ring->result_tail = (_Atomic uint32_t *) (rings + params->cq_off.tail);
	ring->result_mask = *(uint32_t *) (rings + params->cq_off.ring_mask);
	ring->results = (struct io_uring_cqe *) (rings + params->cq_off.cqes);
}

static bool
map_ring(Ring *ring, const struct io_uring_params *params)
{
	size_t		requests_end = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
	size_t		results_end = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);

	if (!(params->features & IORING_FEAT_SINGLE_MMAP))
		return false;
	ring->rings_size = requests_end > results_end ? requests_end : results_end;
	ring->requests_size = params->sq_entries * sizeof(struct io_uring_sqe);
	ring->rings = map(ring->fd, ring->rings_size, IORING_OFF_SQ_RING);
	ring->requests = map(ring->fd, ring->requests_size, IORING_OFF_SQES);
	if (ring->rings == NULL || ring->requests == NULL)
		return false;
	find_parts(ring, params);
	return true;
}

Ring *
open_ring(void)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
		IORING_SETUP_DEFER_TASKRUN
	};
	Ring	   *ring = calloc(1, sizeof(Ring));

	if (ring == NULL)
		return NULL;
	ring->fd = (int) syscall(SYS_io_uring_setup, RING_SENDS_MAX, &params);
	if (ring->fd >= 0 && map_ring(ring, &params))
		return ring;
	close_ring(ring);
	return NULL;
}

void
close_ring(Ring *ring)
{
	if (ring == NULL)
		return;
	if (ring->rings != NULL)
		munmap(ring->rings, ring->rings_size);
	if (ring->requests != NULL)
		munmap(ring->requests, ring->requests_size);
	if (ring->fd >= 0)
		close(ring->fd);
	free(ring);
}

static void
write_requests(Ring *ring, const Sending *sendings, unsigned count)
{
	uint32_t	tail = atomic_load_explicit(ring->request_tail, memory_order_relaxed);

	for (unsigned i = 0; i < count; i++, tail++)
	{
		uint32_t	place = tail & ring->request_mask;
		struct io_uring_sqe *request = &ring->requests[place];

		memset(request, 0, sizeof(*request));
		request->opcode = IORING_OP_SEND;
		request->fd = sendings[i].fd;
		request->addr = (uintptr_t) sendings[i].data;
		request->len = (uint32_t) sendings[i].size;
		request->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
		request->user_data = i;
		ring->request_places[place] = place;
	}
	atomic_store_explicit(ring->request_tail, tail, memory_order_release);
}

/* How many results came */
static unsigned
read_results(Ring *ring, Sending *sendings)
{
	uint32_t	head = atomic_load_explicit(ring->result_head, memory_order_relaxed);
	uint32_t	tail = atomic_load_explicit(ring->result_tail, memory_order_acquire);
	unsigned	count = tail - head;

	for (; head != tail; head++)
	{
		const struct io_uring_cqe *result = &ring->results[head & ring->result_mask];

		sendings[result->user_data].result = result->res;
	}
	atomic_store_explicit(ring->result_head, head, memory_order_release);
	return count;
}

bool
send_by_ring(Ring *ring, Sending *sendings, unsigned count, unsigned *done)
{
	unsigned	answered;
	long		taken;

	write_requests(ring, sendings, count);
	taken = syscall(SYS_io_uring_enter, ring->fd, count, 0, 0, NULL, 0);
	*done = taken < 0 ? 0 : (unsigned) taken;
	for (unsigned i = 0; i < *done; i++)
		sendings[i].result = -EIO;
	answered = read_results(ring, sendings);
	return *done == count && answered == count;
}

#else

Ring *
open_ring(void)
{
	return NULL;
}

void
close_ring(Ring *ring)
{
	(void) ring;
}

bool
send_by_ring(Ring *ring, Sending *sendings, unsigned count, unsigned *done)
{
	(void) ring;
	(void) sendings;
	(void) count;
	*done = 0;
	return false;
}

#endif
