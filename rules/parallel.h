/* SPDX-License-Identifier: Apache-2.0 */
/* Work that is the same for many things and depends on no order: compiling and measuring groups. */
#ifndef MQWARD_RULES_PARALLEL_H
#define MQWARD_RULES_PARALLEL_H

#include <stddef.h>

#define PARALLEL_THREADS 8

/* Calls each(context, i) once for each i below count, on as many threads as there are processors, at most
 * PARALLEL_THREADS; the caller's is one of them. Returns when all are done. Where no thread can be started,
 * the caller's does everything. */
void parallel_each(size_t count, void (*each)(void *context, size_t i), void *context);

#endif
