/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that writes to the quarantine: a slow disk holds up neither a scan nor a worker, and one that
 * does not answer at all does not hold up the process's end. */
#ifndef MQWARD_PROXY_QUARANTINE_WRITER_H
#define MQWARD_PROXY_QUARANTINE_WRITER_H

#include "proxy/scan_job.h"

struct quarantine_writer;

/* Signals are blocked by the caller. NULL: no thread could be started (errno). */
struct quarantine_writer *quarantine_writer_new(struct quarantine *quarantine);
/* Any thread. True: the job is the writer's, which stores what was found and posts the results to the job's
 * worker. False: it has too many already. */
bool quarantine_writer_take(struct quarantine_writer *writer, struct scan_job *job);
/* After the workers' loops. Stores what waits, and ends the thread; NULL is fine. False: the disk did not
 * answer for some seconds. The thread is left to itself, with the quarantine, which it closes should the disk
 * answer: nobody else may use it any more. */
bool quarantine_writer_free(struct quarantine_writer *writer);

#endif
