/* SPDX-License-Identifier: Apache-2.0 */
/* The files that the audit directory has: whether a start could go on with them. */
#ifndef MQWARD_EXPORTERS_AUDIT_DIRECTORY_H
#define MQWARD_EXPORTERS_AUDIT_DIRECTORY_H

/* Opens what the start opens (state of the chain, lock, segments, rings and tables of repeats) as the start
 * does, and nothing more: it reads, changes, makes and locks nothing, and may be called while another process
 * serves. Calls found, in no particular order, with a sentence about what would end the start; where many
 * files of a kind are no good about one of them, with the number of the others. What is not there is fine. */
void audit_directory_examine(
    const char *directory, void (*found)(void *argument, const char *sentence), void *argument);

#endif
