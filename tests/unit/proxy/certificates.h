/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates made at run time, in files of a folder that is gone after the test. */
#ifndef MQWARD_TESTS_UNIT_PROXY_CERTIFICATES_H
#define MQWARD_TESTS_UNIT_PROXY_CERTIFICATES_H

#include "proxy/tls.h"

/* ca.pem, server.pem and server.key (localhost, 127.0.0.1), client.pem and client.key (CN=plc-7, O=Plant A,
 * OU=a, two alternative names), expired.pem and expired.key, other.pem and other.key (signed by itself),
 * secret.key (client.key with a pass phrase), garbage.pem, empty.pem. */
struct certificates {
    char folder[64];
    char path[10][96]; /* what certificates_path() gave */
    unsigned used;
    struct diag_source source; /* where the configuration names the files */
    struct config_listener_tls listener_tls;
    struct config_listener listener;
    struct config_named_file ca;
    const struct config_named_file *cas[1];
    struct config_upstream_tls upstream_tls;
};

void certificates_make(struct certificates *certificates);
void certificates_remove(struct certificates *certificates);
/* The file's path and a place in line `line` of a configuration. */
struct config_path certificates_path(struct certificates *certificates, const char *name, unsigned line);

#endif
