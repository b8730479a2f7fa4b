/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses are one party's, for what is counted and refused by address. */
#ifndef MQWARD_BASE_ADDRESS_H
#define MQWARD_BASE_ADDRESS_H

#include "base/view.h"

#define ADDRESS_SITE_SIZE 52 /* "2001:db8:ffff:ffff::/64" and its like, with a NUL */

/* Writes the site of a textual address, in one spelling: an IPv4 address itself (also one that is mapped into
 * IPv6), and of an IPv6 address its /64, since whoever has one address there has them all. Addresses whose
 * /64 many parties share (link-local, loopback, NAT64's 64:ff9b::/96, Teredo) stand for themselves. A site is
 * its own site. False: no address, and out is empty. */
bool address_site(struct view address, char out[ADDRESS_SITE_SIZE]);

#endif
