/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists of client certificates: read, checked against the CAs that they are of, and put into the
 * store that handshakes verify with. Called by tls.c.
 *
 * OpenSSL refuses a certificate that is on the list of its issuer, and fails closed: it also refuses one
 * whose issuer has no list, or one that is past its time. A resumed handshake verifies nothing; what a ticket
 * says was verified with the very lists in force, because others are another session context, and while one
 * of them is past its time no ticket is taken. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "proxy/tls_internal.h"

#define NAME_SHOWN 256

/* What reading one file needs. */
struct reader {
    const struct config_path *file;
    const struct tls_ca *cas;
    size_t ca_count;
    bool *listed;  /* by ca: it has a list */
    bool stranger; /* a list of none of them was read */
    struct diag_list *diag;
};

static void report(const struct reader *reader, enum diag_severity severity, const char *message)
{
    diag_add(reader->diag, severity, &reader->file->place, NULL, "%s: %s", reader->file->path, message);
    ERR_clear_error();
}

/* ---- time ---- */

bool tls_crls_expired(STACK_OF(X509_CRL) * crls)
{
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        const ASN1_TIME *end = X509_CRL_get0_nextUpdate(sk_X509_CRL_value(crls, i));

        if (end != NULL && X509_cmp_current_time(end) <= 0)
            return true;
    }
    return false;
}

/* Says so when a list is not in force, or has a tenth of its time left and should have been replaced. */
static void warn_about_time(const struct reader *reader, const X509_CRL *crl)
{
    const ASN1_TIME *begin = X509_CRL_get0_lastUpdate(crl), *end = X509_CRL_get0_nextUpdate(crl);
    int days = 0, seconds = 0, rest_days = 0, rest_seconds = 0;
    int64_t whole, rest;

    if (X509_cmp_current_time(begin) > 0)
        report(reader, DIAG_WARNING,
            "the revocation list is not valid yet: until then all clients of its "
            "issuer are refused");
    if (end == NULL || ASN1_TIME_diff(&days, &seconds, begin, end) != 1 ||
        ASN1_TIME_diff(&rest_days, &rest_seconds, NULL, end) != 1)
        return;
    whole = (int64_t)days * 86400 + seconds;
    rest = (int64_t)rest_days * 86400 + rest_seconds;
    if (rest <= 0)
        report(
            reader, DIAG_WARNING, "the revocation list has expired: all clients of its issuer are refused");
    else if (rest < whole / 10)
        report(reader, DIAG_WARNING,
            "the revocation list expires soon: then all clients of its issuer are "
            "refused");
}

/* ---- whose list it is ---- */

/* Error where a CA has the issuer's name and not the key. CAs that share a name (a key that was replaced) are
 * told apart by that. */
static bool check_issuer(struct reader *reader, X509_CRL *crl)
{
    const X509_NAME *issuer = X509_CRL_get_issuer(crl);
    bool named = false, signed_by = false;
    char name[NAME_SHOWN] = "";

    for (size_t c = 0; c < reader->ca_count; c++)
        for (int k = 0; k < sk_X509_num(reader->cas[c].certificates); k++) {
            X509 *ca = sk_X509_value(reader->cas[c].certificates, k);

            if (X509_NAME_cmp(issuer, X509_get_subject_name(ca)) != 0)
                continue;
            named = true;
            if (X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1)
                signed_by = reader->listed[c] = true;
        }
    if (named && !signed_by) {
        report(reader, DIAG_ERROR, "the signature of the revocation list is not that of its CA");
        return false;
    }
    if (!named) {
        X509_NAME_oneline(issuer, name, sizeof(name));
        diag_add(reader->diag, DIAG_WARNING, &reader->file->place, NULL,
            "%s: '%s', whose revocation list this is, is none of the CAs of client_ca", reader->file->path,
            name);
        reader->stranger = true;
    }
    ERR_clear_error();
    return true;
}

/* ---- reading ---- */

/* OpenSSL would silently pass over a list that only says what was added to another one, or that speaks for
 * other issuers, and a certificate that is revoked there alone would be taken. */
static bool check_kind(struct reader *reader, X509_CRL *crl)
{
    ISSUING_DIST_POINT *scope = X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, NULL, NULL);
    bool delta = X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0;
    bool indirect = scope != NULL && scope->indirectCRL > 0;

    ISSUING_DIST_POINT_free(scope);
    if (delta)
        report(reader, DIAG_ERROR, "a delta revocation list: the complete one is needed");
    if (indirect)
        report(reader, DIAG_ERROR, "an indirect revocation list: that of each CA itself is needed");
    return !delta && !indirect;
}

static bool add_crl(struct reader *reader, X509_CRL *crl, X509_STORE *store, STACK_OF(X509_CRL) * crls)
{
    if (!check_kind(reader, crl) || !check_issuer(reader, crl)) {
        X509_CRL_free(crl);
        return false;
    }
    warn_about_time(reader, crl);
    X509_STORE_add_crl(store, crl);
    sk_X509_CRL_push(crls, crl);
    return true;
}

/* PEM with one list or several, or one list in DER. */
static void read_file(struct reader *reader, X509_STORE *store, STACK_OF(X509_CRL) * crls)
{
    BIO *in;
    X509_CRL *crl;
    size_t count = 0;

    if (!tls_file_fits(reader->file, reader->diag))
        return;
    in = BIO_new_file(reader->file->path, "r");
    if (in == NULL) {
        report(reader, DIAG_ERROR, "the revocation list can't be read");
        return;
    }
    ERR_clear_error();
    while ((crl = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL)) != NULL) {
        count++;
        if (!add_crl(reader, crl, store, crls))
            goto out;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        report(reader, DIAG_ERROR, "a damaged revocation list");
        goto out;
    }
    ERR_clear_error();
    if (count == 0) {
        BIO_reset(in);
        crl = d2i_X509_CRL_bio(in, NULL);
        if (crl != NULL)
            add_crl(reader, crl, store, crls);
        else
            report(reader, DIAG_ERROR, "no revocation list (PEM or DER) in it");
    }
out:
    BIO_free(in);
    ERR_clear_error();
}

/* A CA without a list is a trap: its clients are refused. With check of the leaf alone and intermediate CAs
 * that only the clients know, it may do without. */
static void warn_about_unlisted(const struct reader *reader, const struct config_listener_tls *tls)
{
    for (size_t c = 0; c < reader->ca_count; c++)
        if (!reader->listed[c] && (tls->crl_check_chain || !reader->stranger))
            diag_add(reader->diag, DIAG_WARNING, &tls->crls[0].place, NULL,
                "crl has no revocation list of the CA '%s': its clients are refused", reader->cas[c].name);
}

STACK_OF(X509_CRL) * tls_crls_load(const struct config_listener_tls *tls, const struct tls_ca *cas,
                         size_t ca_count, X509_STORE *store, struct diag_list *diag)
{
    STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
    bool listed[TLS_CAS_MAX] = {false};
    struct reader reader = {.cas = cas, .ca_count = ca_count, .listed = listed, .diag = diag};
    size_t before = diag_errors(diag);

    for (size_t i = 0; i < tls->crl_count; i++) {
        reader.file = &tls->crls[i];
        read_file(&reader, store, crls);
    }
    if (tls->crl_count > 0 && diag_errors(diag) == before)
        warn_about_unlisted(&reader, tls);
    if (tls->crl_count > 0)
        X509_STORE_set_flags(
            store, X509_V_FLAG_CRL_CHECK | (tls->crl_check_chain ? X509_V_FLAG_CRL_CHECK_ALL : 0));
    return crls;
}
