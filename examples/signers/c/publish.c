/* SPDX-License-Identifier: Apache-2.0 */
/* Publishes a signed message with libmosquitto: publish TOPIC PAYLOAD; ../README.md has the settings.
 *
 *   cc -o publish publish.c mps1_openssl.c -lmosquitto -lcrypto
 *   cc -o publish publish.c mps1_mbedtls.c -lmosquitto -lmbedcrypto */
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "mps1.h"

static const char *setting(const char *name, const char *fallback)
{
    const char *value = getenv(name);

    return value == NULL ? fallback : value;
}

/* Of hex digits in a file. */
static size_t read_key(const char *path, uint8_t *key, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t length = 0;

    while (file != NULL && length < size && fscanf(file, "%2hhx", &key[length]) == 1)
        length++;
    if (file != NULL)
        fclose(file);
    return length;
}

struct outgoing {
    const char *topic;
    const uint8_t *payload; /* of the packet: with the envelope, if there is one */
    size_t length;
    mosquitto_property *properties;
    int status; /* of the process */
};

static void on_connect(struct mosquitto *client, void *context, int code)
{
    struct outgoing *out = context;

    if (code != 0 || mosquitto_publish_v5(client, NULL, out->topic, (int)out->length, out->payload, 1, false,
                         out->properties) != MOSQ_ERR_SUCCESS)
        mosquitto_disconnect(client);
}

/* code: of MQTT 5.0; from 0x80 on the message was refused. */
static void on_publish(
    struct mosquitto *client, void *context, int id, int code, const mosquitto_property *properties)
{
    (void)id;
    (void)properties;
    ((struct outgoing *)context)->status = code < 0x80 ? 0 : 1;
    mosquitto_disconnect(client);
}

/* Connects, publishes, waits for the acknowledgement. */
static int publish(struct outgoing *out, const char *client_id, bool v5)
{
    struct mosquitto *client;
    const char *ca = getenv("MQTT_CA");

    mosquitto_lib_init();
    client = mosquitto_new(client_id, true, out);
    if (client == NULL)
        return 1;
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
    mosquitto_username_pw_set(client, getenv("MQTT_USERNAME"), getenv("MQTT_PASSWORD"));
    if (ca != NULL)
        mosquitto_tls_set(client, ca, NULL, getenv("MQTT_CERT"), getenv("MQTT_KEY"), NULL);
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_publish_v5_callback_set(client, on_publish);
    if (mosquitto_connect(client, setting("MQTT_HOST", "localhost"), atoi(setting("MQTT_PORT", "1883")),
            60) == MOSQ_ERR_SUCCESS)
        mosquitto_loop_forever(client, -1, 1);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return out->status;
}

int main(int argc, char **argv)
{
    uint8_t key[512], packet[MPS1_HEADER_MAX + 4096];
    size_t key_length = read_key(setting("MPS1_KEY_FILE", "device.key"), key, sizeof(key)), header;
    char text[MPS1_PROPERTY_MAX];
    bool v5 = strcmp(setting("MQTT_VERSION", "3.1.1"), "5") == 0;
    struct outgoing out = {.status = 1};
    struct timespec now;

    if (argc != 3 || key_length == 0 || strlen(argv[2]) > 4096)
        return 2;
    clock_gettime(CLOCK_REALTIME, &now);
    /* Signed once. The library retransmits these very bytes until the broker acknowledges them. */
    struct mps1_message message = {.algorithm = MPS1_SHA_256,
        .t_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
        .kid = setting("MPS1_KID", "m25a"),
        .sub = setting("MPS1_SUB", "plc-7"),
        .topic = argv[1],
        .content_type = "",
        .response_topic = "",
        .payload = argv[2],
        .payload_length = strlen(argv[2])};
    if (getrandom(message.nonce, sizeof(message.nonce), 0) != sizeof(message.nonce) ||
        (header = mps1_sign(key, key_length, &message, packet)) == 0)
        return 1;
    memcpy(packet + header, argv[2], message.payload_length);
    out.topic = argv[1];
    out.payload = v5 ? packet + header : packet;
    out.length = message.payload_length + (v5 ? 0 : header);
    if (v5) {
        mps1_property(packet, header, text);
        mosquitto_property_add_string_pair(&out.properties, MQTT_PROP_USER_PROPERTY, "mps1", text);
    }
    publish(&out, message.sub, v5);
    mosquitto_property_free_all(&out.properties);
    return out.status;
}
