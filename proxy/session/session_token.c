/* SPDX-License-Identifier: Apache-2.0 */
/* A client's JSON Web Token. It ends at the proxy: what CONNECT had of it does not go on to the broker, and
 * of an enhanced authentication (MQTT 5.0, 4.12) that carries it the broker sees nothing. The session keeps
 * it, so that another policy or key set can be asked about it again. Called by session_connect.c,
 * session_rebind.c and session.c. */
#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define REAUTHENTICATE 0x19 /* MQTT 5.0, table 3-11 */

static void keep(struct session *session, struct view token)
{
    session_token_free(session);
    session->token = view_of(memory_copy_string(token), token.length);
    session->token_since_s = clock_wall_us() / 1000000;
}

void session_token_take(
    struct session *session, const struct policy_identification *found, const struct mqtt_connect *connect)
{
    struct mqtt_property_value data = {0};

    session->expires_s = found->expires_s;
    session->token_in = found->token;
    if (found->token == POLICY_TOKEN_AUTHENTICATION) {
        mqtt_properties_find(&connect->properties, MQTT_AUTHENTICATION_DATA, &data);
        keep(session, data.string);
        /* The broker is no party to it. */
        session->has_authentication = false;
    } else if (found->source == POLICY_SOURCE_JWT) {
        keep(session, connect->password);
    }
}

void session_token_present(const struct session *session, struct policy_credentials *credentials)
{
    bool in_authentication = session->token_in == POLICY_TOKEN_AUTHENTICATION;

    credentials->has_authentication = session->has_authentication || in_authentication;
    credentials->authentication_method = session->authentication_method;
    credentials->presented_s = session->token_since_s;
    if (in_authentication)
        credentials->authentication_data = session->token;
    else
        credentials->password = session->token;
}

void session_token_free(struct session *session)
{
    if (session->token.length > 0)
        OPENSSL_cleanse((void *)(uintptr_t)session->token.data, session->token.length);
    free((void *)(uintptr_t)session->token.data);
    session->token = (struct view){NULL, 0};
}

static void audit_renewed(const struct session *session)
{
    struct audit_event event;

    session_event_begin(session, &event, AUDIT_reauthenticated, REASON_allowed, AUDIT_INFORMED);
    event.packet = VIEW("auth");
    session_event_emit(session, &event);
}

/* Re-authentication: the client is judged anew, as under another policy, so that groups that the new token
 * does not name are left, and the session lasts as long as the new token. */
enum session_verdict session_token_renew(
    struct session *session, const struct mqtt_packet *packet, struct session_output *output)
{
    const struct mqtt_disconnect *given = &packet->u.auth;
    struct mqtt_packet answer = {.type = MQTT_AUTH, .version = session->version};
    struct mqtt_property_value data = {0};

    if (given->code != REAUTHENTICATE)
        return session_client_violation(session, REASON_protocol_error, "MQTT-4.12.0-3",
            "AUTH that continues an exchange which has ended", MQTT_AUTH, output);
    if (session->unrecorded) {
        session_close(session, REASON_audit_unavailable, output);
        return SESSION_CONSUMED;
    }
    mqtt_properties_find(&given->properties, MQTT_AUTHENTICATION_DATA, &data);
    keep(session, data.string);
    session_rebind(session, session->settings, output);
    if (output->close)
        return SESSION_CONSUMED;
    if (!policy_subject_is_distrusted(session->subject))
        audit_renewed(session);
    mqtt_property_write_string(&session->scratch, MQTT_AUTHENTICATION_METHOD, session->authentication_method);
    answer.u.auth.properties =
        (struct mqtt_properties){buffer_view(&session->scratch), UINT64_C(1) << MQTT_AUTHENTICATION_METHOD};
    session_encode_to_client(session, &answer, &answer.u.auth.properties, output);
    buffer_clear(&session->scratch);
    return SESSION_CONSUMED;
}

/* ---- the end ---- */

uint64_t session_expires_s(const struct session *session)
{
    return session->state == SESSION_OPEN ? session->expires_s : 0;
}

bool session_expire(struct session *session)
{
    assert(session->magic == SESSION_MAGIC);
    if (session->policy->mode != POLICY_MONITOR)
        return true;
    session->expires_s = 0;
    session_connect_would_refuse(session, REASON_credential_expired, NULL, NULL);
    return false;
}
