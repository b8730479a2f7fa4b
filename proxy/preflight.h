/* SPDX-License-Identifier: Apache-2.0 */
/* What 'mqward run' would find on this machine, beyond the files that a snapshot is made of: folders,
 * sockets, addresses, and what sinks are reached with. */
#ifndef MQWARD_PROXY_PREFLIGHT_H
#define MQWARD_PROXY_PREFLIGHT_H

#include "base/diag.h"
#include "proxy/config.h"

/* Asks the functions that the start asks, and makes, locks, connects and listens to nothing: it may be called
 * while mqward runs. An error: the start would fail, or a sink would never deliver. A warning: what is
 * missing may be there by then (systemd makes folders, addresses come up). It holds for the user that asks.
 */
void preflight_check(const struct config *config, struct diag_list *diag);

#endif
