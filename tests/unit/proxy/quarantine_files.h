/* SPDX-License-Identifier: Apache-2.0 */
/* A quarantine under test, and what is in its folder. */
#ifndef MQWARD_TESTS_UNIT_PROXY_QUARANTINE_FILES_H
#define MQWARD_TESTS_UNIT_PROXY_QUARANTINE_FILES_H

#include "../exporters/directory.h"
#include "proxy/quarantine.h"

#define FILE_NAME_MAX 256
#define LARGE (UINT64_C(1) << 40)
#define DESCRIPTION VIEW("{\"size\": 1}\n")

/* The path that a payload's file has, with this suffix. */
void file_name(char name[FILE_NAME_MAX], const char *folder, struct view payload, const char *suffix);
void file_put(const char *folder, struct view payload, const char *suffix, struct view bytes);
bool file_is_there(const char *folder, struct view payload, const char *suffix);
/* Asserts: a regular file of mode 0400 with these bytes. */
void file_check(const char *folder, struct view payload, const char *suffix, struct view bytes);
/* Files but for the lock. */
size_t file_count(const char *folder);
/* Asserts: every payload is whole and has DESCRIPTION beside it, and nothing is unfinished. Returns how many
 * payloads there are. */
size_t file_check_all(const char *folder);
/* No file of this process can be larger. */
void file_limit(uint64_t bytes);

struct quarantine *open_here(const char *folder, uint64_t max_bytes, uint64_t max_files);
/* Asserts that it can't be opened and that the error names the folder and says why. */
void refuse(const char *folder, const char *why);
/* The name of the result. */
const char *store_with(struct quarantine *quarantine, struct view payload, struct view description);
const char *store(struct quarantine *quarantine, const char *payload); /* with DESCRIPTION */
/* A payload of another content for each number. */
#define PAYLOAD_SIZE 20000
void fill_payload(uint8_t payload[PAYLOAD_SIZE], unsigned number);
void log_nothing(void);

#endif
