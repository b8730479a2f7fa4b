/* SPDX-License-Identifier: Apache-2.0 */
/* One run of a scenario, line by line. */
#ifndef MQWARD_TESTS_UNIT_SESSION_SCENARIO_H
#define MQWARD_TESTS_UNIT_SESSION_SCENARIO_H

#include "world.h"

/* One run of a scenario in one version. */
struct run {
    const char *file;
    unsigned line;
    const char *name;
    enum mqtt_version version;
    struct world *world;
    size_t seen; /* lines that came out and were expected */
    bool began, ended, failed;
};

/* The versions (bits) that a word means: "5.0", "3.x", "any"; 0: none. */
unsigned scenario_versions(const char *word, size_t length);
/* Does what a line says, or checks what came out; on failure prints it and sets failed. */
void scenario_step(struct run *run, const char *line);
/* Whatever happened: each CONNECT has one outcome in the audit, and each accepted one an end. */
void scenario_finish(struct run *run);

#endif
