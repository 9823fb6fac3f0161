/*
 * kernel.c
 *	  The loops of kernel_template.h, and which of them the processor can run.
 *
 * Wider registers only compare and AND; sums are always made one by one, so
 * that every instruction set gives the same bits.
 */
#include <string.h>

#include "evaluator.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define COUNT_BELOW_PORTABLE(boundaries, width, number) \
	do { \
		uint32_t	count = 0; \
\
		for (uint32_t half = (width) / 2; half > 0; half /= 2) \
			count += (boundaries)[count + half - 1] < (number) ? half : 0; \
		return count + ((boundaries)[count] < (number)); \
	} while (0)

static inline uint32_t
count_below_portable(const double *boundaries, uint32_t width, double number)
{
	COUNT_BELOW_PORTABLE(boundaries, width, number);
}

static inline uint32_t
count_separators_portable(const float *separators, double number)
{
	COUNT_BELOW_PORTABLE(separators, SEARCH_WIDTH, number);
}

#define LABEL "portable"
#define NAME(x) x##_portable
#define TARGET
#define WIDTH 16
#define COUNT_BELOW count_below_portable
#define COUNT_SEPARATORS count_separators_portable
#include "kernel_template.h"

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,bmi")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi,popcnt")))

/* A comparison that holds gives -1 */
AVX2
static inline __m256i
add_below_avx2(__m256i sum, __m256d boundaries, double number)
{
	__m256d		is_below = _mm256_cmp_pd(boundaries, _mm256_set1_pd(number), _CMP_LT_OQ);

	return _mm256_sub_epi64(sum, _mm256_castpd_si256(is_below));
}

AVX2
static inline uint32_t
sum_lanes_avx2(__m256i sum)
{
	__m128i		half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));

	return (uint32_t) (_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
}

AVX2
static inline uint32_t
count_below_avx2(const double *boundaries, uint32_t width, double number)
{
	__m256i		sum = _mm256_setzero_si256();

	for (uint32_t i = 0; i < width; i += 4)
		sum = add_below_avx2(sum, _mm256_load_pd(boundaries + i), number);
	return sum_lanes_avx2(sum);
}

AVX2
static inline uint32_t
count_separators_avx2(const float *separators, double number)
{
	__m256i		sum = _mm256_setzero_si256();

	for (int i = 0; i < SEARCH_WIDTH; i += 4)
		sum = add_below_avx2(sum, _mm256_cvtps_pd(_mm_load_ps(separators + i)), number);
	return sum_lanes_avx2(sum);
}

AVX512
static inline uint32_t
count_pair_avx512(__m512d boundaries, __m512d more, double number)
{
	__m512d		wide = _mm512_set1_pd(number);
	uint32_t	low = _mm512_cmp_pd_mask(boundaries, wide, _CMP_LT_OQ);
	uint32_t	high = _mm512_cmp_pd_mask(more, wide, _CMP_LT_OQ);

	return (uint32_t) __builtin_popcount(low | high << 8);
}

AVX512
static inline uint32_t
count_below_avx512(const double *boundaries, uint32_t width, double number)
{
	if (width == SEARCH_WIDTH)
		return count_pair_avx512(_mm512_load_pd(boundaries), _mm512_load_pd(boundaries + 8), number);
	return (uint32_t) __builtin_popcount(_mm512_cmp_pd_mask(_mm512_load_pd(boundaries),
															_mm512_set1_pd(number), _CMP_LT_OQ));
}

AVX512
static inline uint32_t
count_separators_avx512(const float *separators, double number)
{
	return count_pair_avx512(_mm512_cvtps_pd(_mm256_load_ps(separators)),
							 _mm512_cvtps_pd(_mm256_load_ps(separators + 8)), number);
}

#define LABEL "avx2"
#define NAME(x) x##_avx2
#define TARGET AVX2
#define WIDTH 32
#define COUNT_BELOW count_below_avx2
#define COUNT_SEPARATORS count_separators_avx2
#include "kernel_template.h"

#define LABEL "avx512"
#define NAME(x) x##_avx512
#define TARGET AVX512
#define WIDTH 64
#define COUNT_BELOW count_below_avx512
#define COUNT_SEPARATORS count_separators_avx512
#include "kernel_template.h"

#endif

static const Kernel *
get_widest(void)
{
	const Kernel *kernel = get_kernel(INSTRUCTIONS_AVX512);

	if (kernel == NULL)
		kernel = get_kernel(INSTRUCTIONS_AVX2);
	return kernel != NULL ? kernel : get_kernel(INSTRUCTIONS_PORTABLE);
}

const Kernel *
get_kernel(InstructionSet instructions)
{
	switch (instructions)
	{
		case INSTRUCTIONS_ANY:
			return get_widest();
		case INSTRUCTIONS_PORTABLE:
			return &kernel_portable;
#if defined(__x86_64__)
		case INSTRUCTIONS_AVX2:
			if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
				return &kernel_avx2;
			return NULL;
		case INSTRUCTIONS_AVX512:
			if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
				__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
				__builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi"))
				return &kernel_avx512;
			return NULL;
#endif
		default:
			return NULL;
	}
}
