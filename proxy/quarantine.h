/* SPDX-License-Identifier: Apache-2.0 */
/* The quarantine: payloads, and other parts of messages, kept for the analyst, in a bounded folder.
 *
 *   <sha256 in hex>.payload   the bytes, mode 0400
 *   <sha256 in hex>.json      where they first came from and what was found, mode 0400
 *
 * A payload that is there already is not written again. Files appear whole (written under another name,
 * synchronised, renamed), so that a crash leaves none that is cut, and no payload without its description.
 * Full: what is new is not kept, and the result says so; nothing that is there is thrown away to make room,
 * or an attacker could empty it. Whoever takes files away makes room: a full folder is counted again. */
#ifndef MQWARD_PROXY_QUARANTINE_H
#define MQWARD_PROXY_QUARANTINE_H

#include "base/view.h"

struct quarantine;

/* Opens the folder (makes it, mode 0700, if its parent is there), removes unfinished files of an earlier run
 * (or gives them their names, if they are whole) and counts what is in it. It must belong to root or to this
 * process's user, and nobody else may write to it. One process has it open at a time, once. max_bytes: of
 * payloads and descriptions; max_files: payloads. NULL after an error was written to error. */
struct quarantine *quarantine_open(
    const char *directory, uint64_t max_bytes, uint64_t max_files, char *error, size_t error_size);
void quarantine_close(struct quarantine *quarantine); /* NULL is fine */

enum quarantine_result {
    QUARANTINE_STORED,
    QUARANTINE_KNOWN,
    QUARANTINE_FULL,
    QUARANTINE_FAILED,
    QUARANTINE_BUSY /* too much waits to be stored (quarantine_writer.h) */
};
/* Any thread; slow (disk). sha256: of the payload. describe: the JSON object, written only if the payload is
 * new. Failed: errno says why. Full and failed are also logged, each at most once a minute. */
enum quarantine_result quarantine_store(
    struct quarantine *quarantine, const uint8_t sha256[32], struct view payload, struct view describe);
/* How full it is: what was known last, if the disk is just being asked. One thread. */
struct quarantine_fill {
    uint64_t bytes, files, max_bytes, max_files;
};
void quarantine_fill(struct quarantine *quarantine, struct quarantine_fill *fill);
/* "stored", "known", "full", "failed", "busy" */
const char *quarantine_result_name(enum quarantine_result result);

#endif
