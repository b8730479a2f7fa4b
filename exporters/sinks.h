/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of sinks: one file and one row each. What a kind takes as its settings is said beside it. */
#ifndef MQWARD_EXPORTERS_SINKS_H
#define MQWARD_EXPORTERS_SINKS_H

struct sink_type;

extern const struct sink_type sink_redis;  /* struct exporter_redis, redis_settings.h */
extern const struct sink_type sink_kafka;  /* struct exporter_kafka, sink_kafka.h */
extern const struct sink_type sink_file;   /* struct sink_file_settings, sink_file.h */
extern const struct sink_type sink_stdout; /* struct sink_stdout_settings, sink_stdout.h */
extern const struct sink_type sink_syslog; /* struct sink_syslog_settings, sink_syslog.h */

#endif
