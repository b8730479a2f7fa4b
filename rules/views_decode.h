/* SPDX-License-Identifier: Apache-2.0 */
/* What views.c and its families of decoders share. A decoder reads run->source, takes room for what it
 * decodes and hands it over; bounds, duplicates and views of views are the matter of views.c. */
#ifndef MQWARD_RULES_VIEWS_DECODE_H
#define MQWARD_RULES_VIEWS_DECODE_H

#include "rules/views.h"

/* A run shorter than this, decoded, is no view: words, numbers, device addresses and time stamps are made of
 * the same characters. */
#define VIEWS_RUN_MIN 12
#define VIEWS_BASE64_MIN 16 /* characters of VIEWS_RUN_MIN bytes */
#define VIEWS_HEX_MIN 24

/* What looking for something costs at least, in bytes of work: many small finds are not free. */
#define VIEWS_ATTEMPT 64
#define VIEWS_ATTEMPT_GZIP 4096 /* tables of codes are built */

/* Classes of a byte (views_classes). */
enum {
    VIEWS_CLASS_BASE64 = 1,  /* of either alphabet */
    VIEWS_CLASS_BREAK = 2,   /* CR, LF */
    VIEWS_CLASS_HEX = 4,     /* a digit */
    VIEWS_CLASS_BETWEEN = 8, /* what stands between bytes in hex */
    VIEWS_CLASS_UPPER = 16,  /* A to Z */
    VIEWS_CLASS_LOWER = 32,  /* a to z */
    VIEWS_CLASS_JOINT = 64   /* + - / _ : of base64, and what joins words */
};
extern const uint8_t views_classes[256];
extern const uint8_t views_hex_digits[256]; /* 0 to 15; 255: none */

struct views_run {
    struct scan_view_space *space;
    const struct scan_view_limits *limits;
    unsigned kinds;
    bool (*each)(void *context, const struct scan_view_path *path, struct view bytes);
    void *context;
    struct view source;         /* being decoded */
    struct scan_view_path path; /* of source */
    size_t work, output;        /* left */
    unsigned views;             /* left */
    size_t untimed;             /* work since the clock was looked at */
    const char *incomplete;
    bool ended; /* nothing more may be decoded */
};

/* The kinds among kinds that bytes may hold: never misses one, seldom names one in vain. This is what every
 * message pays. */
unsigned views_look(struct view bytes, unsigned kinds);

/* True: bytes hold no view of any kind, as one walk over them shows. False says nothing; without SSE2 it is
 * the only answer. */
bool views_quiet(struct view bytes);

/* The first run of length bytes or more of these classes from at on: its start, and *end; bytes.length twice:
 * there is none. Each byte is read once at most, and few of them: the last byte that a run must have comes
 * first, so that a byte of another class skips all before it. */
size_t views_next_run(struct view bytes, size_t at, uint8_t classes, size_t length, size_t *end);
bool views_has_both_cases(struct view text);

/* False if the work's bound leaves no size bytes more to read; then the run has ended. */
bool views_charge(struct views_run *run, size_t size);
/* Says why not all is decoded; the first reason stands. */
void views_incomplete(struct views_run *run, const char *reason);
/* Room for a view of *size bytes in all; *size becomes smaller if the output's bound leaves less. The first
 * used bytes of the room of before stay. */
uint8_t *views_room(struct views_run *run, size_t used, size_t *size);
/* Gives length bytes of the room as a view, whose encoded form is at offset of the source. cut: the room was
 * too small for all of it. */
void views_give(struct views_run *run, enum scan_view_kind kind, size_t offset, size_t length, bool cut);

/* The decoders, one a kind. */
void views_base64(struct views_run *run);
void views_hex(struct views_run *run);
void views_json(struct views_run *run);
void views_gzip(struct views_run *run);
void views_utf16(struct views_run *run);

/* Does it look like UTF-16 text of this order of bytes? Its byte order mark, or VIEWS_RUN_MIN characters of
 * ASCII in a row. */
bool views_is_utf16(struct view bytes, bool big);
/* Length of the escape at the start of text (a backslash) and the bytes that it stands for in out (room for
 * 4); 0: it is none. */
size_t views_escape(struct view text, uint8_t out[4], size_t *written);
/* Where the next gzip member may start, from at on; bytes.length: nowhere. */
size_t views_gzip_find(struct view bytes, size_t at);
/* Do the two bytes of a zlib header stand at the start? */
bool views_is_zlib(struct view bytes);

/* Where zlib's state is kept between calls; NULL until it is needed. */
struct z_stream_s **views_inflater(struct views_run *run);
void views_inflater_free(struct z_stream_s *stream); /* NULL is fine */

#endif
