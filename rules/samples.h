/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in files: the samples that rules name in their meta, and folders of ordinary messages. For tests
 * of rules and for the command line. */
#ifndef MQWARD_RULES_SAMPLES_H
#define MQWARD_RULES_SAMPLES_H

#include "base/buffer.h"
#include "rules/scan.h"

#define SAMPLE_MAX ((size_t)256 << 20) /* bytes: no MQTT message has more */

struct sample {
    struct arena *arena;
    struct buffer bytes;         /* the payload */
    struct scan_context context; /* what the message has besides */
};

/* Appends the bytes of a regular file. False after an error was added to diag. */
bool sample_read_bytes(const char *path, struct buffer *bytes, struct diag_list *diag);
/* The same from a descriptor of any kind, to its end; name: for messages. */
bool sample_read_stream(int descriptor, const char *name, struct buffer *bytes, struct diag_list *diag);
/* Reads a message: a file's bytes, decoded if it is named *.b64, and what PATH.context says besides. False
 * after an error was added to diag. Release the sample in any case. */
bool sample_read(struct sample *sample, const char *path, struct diag_list *diag);
void sample_release(struct sample *sample);
/* A line of such a PATH.context: "topic", "a/b". Names are copied. NULL, or what was expected instead. */
const char *sample_set(struct sample *sample, struct view name, struct view value);

enum sample_kind { SAMPLE_HIT, SAMPLE_MISS, SAMPLE_KINDS };
const char *sample_kind_name(enum sample_kind kind); /* the meta key: "sample_hit" */
/* The next name in the rule's meta; *next is 0 at first. Empty: no more. Of a value that is a number the name
 * is "?", which no file is called. */
struct view sample_next(const struct scan_rule *rule, enum sample_kind kind, size_t *next);
/* Is there such a folder? Rules are installed without. */
bool sample_folder(const struct scan_rule *rule);
/* Where a rule's sample is: in 'samples' of the folder of its file, or of the folder above. NULL: there is no
 * such file, or the name is none of a file in a folder. free() it. */
char *sample_find(const struct scan_rule *rule, struct view name);

/* Paths of all messages below a folder, in order of their names; hidden files, *.context and what is no file
 * are none. They live in arena. False after an error was added to diag. */
bool sample_list(const char *folder, struct arena *arena, const char *const **paths, size_t *count,
    struct diag_list *diag);

#endif
