/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that strangers chose, on a terminal. */
#ifndef MQWARD_PROXY_CLI_TEXT_H
#define MQWARD_PROXY_CLI_TEXT_H

#include <stdio.h>

#include "base/view.h"

/* Prints text in one line: what a terminal obeys, what hides or reorders, more than three marks on a letter,
 * and what is not UTF-8 becomes '?'. */
void text_print(FILE *out, struct view text);
/* The same for a text with others beside it. None can look like two, or like words of ours: with a blank, a
 * parenthesis, a quotation mark or a backslash in it, or empty, it stands in quotation marks ('"' and '\\'
 * then have a backslash before them); so it does if it has letters that are written from right to left, which
 * do not move what is beside it. More columns than these are cut: "..." stands behind the quotation marks. */
void text_print_part(FILE *out, struct view text, unsigned columns);
/* "mqward: " and the sentence on standard error, printed like that: a file's name or a server's words may be
 * part of it. */
void text_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
