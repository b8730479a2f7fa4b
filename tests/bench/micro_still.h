/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQWARD_BENCH_MICRO_STILL_H
#define MQWARD_BENCH_MICRO_STILL_H

/* Time goes on by so much, at once. */
void still_advance(unsigned seconds);

#endif
