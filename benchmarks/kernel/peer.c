/*
 * What a careful C program needs for the requests that the agent sends to the openvswitch module:
 * the yardstick of `make bench-kernel`.
 *
 *     peer OPERATION name=value ...
 *
 * It is given each kind of message once, in hexadecimal, and patches what differs: sequence
 * number, UFID, the key's source address. It prints one line of JSON. With `show=1` it writes its
 * messages to standard output instead of a socket, to be compared with the agent's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096, CHUNK = 1 << 17, MANY = 32, IN_FLIGHT = 64, DATAGRAM = 8192 };
enum { PACKET_ATTR_PACKET = 1, PACKET_ATTR_KEY = 2, FLOW_ATTR_KEY = 1 };
enum { CREATES = 1u << 30, DELETES = 2u << 30, EXECUTES = 3u << 30 };

struct blob { uint8_t data[MOST]; uint32_t length; };
struct channel {
    int fd;
    uint8_t chunk[CHUNK];
    uint32_t end, messages;
    uint64_t replies, errors;
    uint8_t in[MANY][DATAGRAM];
    struct mmsghdr slots[MANY];
    struct iovec vectors[MANY];
};

static struct blob create, delete, execute, frame, vport, create_head, create_tail, execute_head,
    execute_middle;
static uint32_t count, batch = 20, create_source, execute_source, frame_source,
    vport_pid_at, show, milliseconds,
    first_number;
static const char *link_name, *far_link_name;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct channel *open_channel(void) {
    struct channel *c = calloc(1, sizeof *c);
    if (!c) die("calloc");
    c->fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
    if (c->fd < 0) die("socket");
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    int large = 8 << 20;
    if (bind(c->fd, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large) ||
        setsockopt(c->fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large))
        die("setsockopt");
    for (int n = 0; n < MANY; n++) {
        c->vectors[n] = (struct iovec){c->in[n], DATAGRAM};
        c->slots[n].msg_hdr.msg_iov = &c->vectors[n];
        c->slots[n].msg_hdr.msg_iovlen = 1;
    }
    return c;
}

static uint32_t port_id(int fd) {
    struct sockaddr_nl address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length)) die("getsockname");
    return address.nl_pid;
}

static void flush(struct channel *c) {
    if (!c->end) return;
    if (show) {
        if (fwrite(c->chunk, 1, c->end, stdout) != c->end) die("fwrite");
    } else if (send(c->fd, c->chunk, c->end, MSG_DONTWAIT) != (ssize_t)c->end) {
        die("send");
    }
    c->end = c->messages = 0;
}

static void taken(struct channel *c, uint32_t length) {
    c->end += length;
    if (++c->messages == batch) flush(c);
}

/* Read what is there; blocks for `wanted` replies. */
static void replies(struct channel *c, uint64_t wanted) {
    for (;;) {
        int flags = wanted ? MSG_WAITFORONE : MSG_DONTWAIT;
        int n = recvmmsg(c->fd, c->slots, MANY, flags, NULL);
        if (n < 0) {
            if (errno == EAGAIN && !wanted) return;
            die("recvmmsg");
        }
        for (int i = 0; i < n; i++) {
            uint32_t left = c->slots[i].msg_len;
            struct nlmsghdr *h = (struct nlmsghdr *)c->in[i];
            for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
                if (h->nlmsg_type == NLMSG_ERROR) {
                    if (((struct nlmsgerr *)NLMSG_DATA(h))->error) c->errors++;
                } else {
                    c->replies++;
                }
                if (wanted) wanted--;
            }
        }
        if (!wanted && n < MANY) return;
    }
}

static void put32(uint8_t *at, uint32_t value) { memcpy(at, &value, 4); }

/* A flow's number ends its UFID, and the UFID ends the messages that name a flow. */
static void put_number(uint8_t *end, uint64_t number) { memcpy(end - 8, &number, 8); }

static void put_create(struct channel *c, uint32_t n) {
    uint8_t *at = c->chunk + c->end;
    memcpy(at, create.data, create.length);
    put32(at + 8, CREATES | n);
    put_number(at + create.length, n);
    put32(at + create_source, htonl(0x0a000000 + n));
    taken(c, create.length);
}

static void put_delete(struct channel *c, uint32_t n) {
    uint8_t *at = c->chunk + c->end;
    memcpy(at, delete.data, delete.length);
    put32(at + 8, DELETES | n);
    put_number(at + delete.length, n);
    taken(c, delete.length);
}

static void put_execute(struct channel *c, uint32_t n) {
    uint8_t *at = c->chunk + c->end;
    memcpy(at, execute.data, execute.length);
    put32(at + 8, EXECUTES | n);
    put32(at + execute_source, htonl(0x0a000000 + n));
    taken(c, execute.length);
}

static uint64_t run_create(struct channel *c) {
    uint64_t begin = now();
    for (uint32_t n = 1; n <= count; n++) put_create(c, n);
    flush(c);
    if (!show) replies(c, 0);
    return now() - begin;
}

static uint64_t run_execute(struct channel *c) {
    uint64_t begin = now();
    for (uint32_t n = 1; n <= count; n++) put_execute(c, n);
    flush(c);
    if (!show) replies(c, 0);
    return now() - begin;
}

static uint64_t run_create_delete(struct channel *c) {
    uint64_t begin = now();
    for (uint32_t first = 1; first <= count; first += batch) {
        uint32_t end = first + batch <= count + 1 ? first + batch : count + 1;
        for (uint32_t n = first; n < end; n++) put_create(c, n);
        flush(c);
        for (uint32_t n = first; n < end; n++) put_delete(c, n);
        flush(c);
        if (!show) replies(c, end - first);
    }
    return now() - begin;
}

struct producer { struct channel *channel; uint32_t first, end; };

static void *produce(void *argument) {
    struct producer *p = argument;
    for (uint32_t n = p->first; n < p->end; n++) put_create(p->channel, n);
    flush(p->channel);
    replies(p->channel, 0);
    return NULL;
}

/* Two threads with a channel each, as two producers of a program without a broker. */
static uint64_t run_two(struct channel *c) {
    struct producer producers[2] = {{c, 1, count / 2 + 1}, {open_channel(), count / 2 + 1, count + 1}};
    pthread_t threads[2];
    uint64_t begin = now();
    for (int n = 0; n < 2; n++)
        if (pthread_create(&threads[n], NULL, produce, &producers[n])) die("pthread_create");
    for (int n = 0; n < 2; n++) pthread_join(threads[n], NULL);
    uint64_t took = now() - begin;
    c->errors += producers[1].channel->errors;
    return took;
}

/* Answer an upcall with a flow and the packet's execution. */
static void answer(struct channel *c, uint8_t *message, uint32_t length, uint32_t n) {
    uint8_t *key = NULL, *packet = NULL;
    uint32_t at = 24;
    while (at + 4 <= length) {
        uint16_t size, kind;
        memcpy(&size, message + at, 2);
        memcpy(&kind, message + at + 2, 2);
        kind &= 0x3fff;
        if (size < 4 || size > length - at) break;
        if (kind == PACKET_ATTR_KEY) key = message + at;
        if (kind == PACKET_ATTR_PACKET) packet = message + at;
        at += (size + 3u) & ~3u;
    }
    if (!key || !packet) {
        c->errors++;
        return;
    }
    uint16_t key_size, packet_size, kind = FLOW_ATTR_KEY;
    memcpy(&key_size, key, 2);
    memcpy(&packet_size, packet, 2);

    uint8_t *out = c->chunk + c->end;
    uint32_t total = create_head.length + key_size + create_tail.length;
    memcpy(out, create_head.data, create_head.length);
    put32(out, total);
    put32(out + 8, CREATES | n);
    memcpy(out + create_head.length, key, key_size);
    memcpy(out + create_head.length + 2, &kind, 2);
    memcpy(out + create_head.length + key_size, create_tail.data, create_tail.length);
    put_number(out + total, n);
    taken(c, total);

    out = c->chunk + c->end;
    uint32_t padded = (packet_size + 3u) & ~3u;
    total = execute_head.length + key_size + execute_middle.length + padded;
    memcpy(out, execute_head.data, execute_head.length);
    put32(out, total);
    put32(out + 8, EXECUTES | n);
    memcpy(out + execute_head.length, key, key_size);
    memcpy(out + execute_head.length + key_size, execute_middle.data, execute_middle.length);
    out += execute_head.length + key_size + execute_middle.length;
    memset(out + packet_size, 0, padded - packet_size);
    memcpy(out, packet, packet_size);
    taken(c, total);
}

static uint64_t run_upcalls(struct channel *c) {
    struct channel *upcalls = open_channel();
    memcpy(c->chunk, vport.data, vport.length);
    put32(c->chunk + vport_pid_at, port_id(upcalls->fd));
    c->end = vport.length;
    flush(c);
    replies(c, 1);

    int wire = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(link_name)};
    if (wire < 0 || bind(wire, (struct sockaddr *)&address, sizeof address)) die("wire");

    uint64_t took = 0;
    for (uint32_t first = 1; first <= count; first += IN_FLIGHT) {
        for (uint32_t n = first; n < first + IN_FLIGHT; n++) {
            put32(frame.data + frame_source, htonl(0x0a000000 + n));
            if (send(wire, frame.data, frame.length, 0) < 0) die("frame");
        }
        uint64_t begin = now();
        for (uint32_t n = first; n < first + IN_FLIGHT;) {
            int got = recvmmsg(upcalls->fd, upcalls->slots, MANY, MSG_WAITFORONE, NULL);
            if (got < 0) die("upcalls");
            for (int i = 0; i < got; i++) answer(c, upcalls->in[i], upcalls->slots[i].msg_len, n++);
        }
        flush(c);
        took += now() - begin;
    }
    uint64_t begin = now();
    replies(c, 0);
    return took + now() - begin;
}

/* RFC 1071, over the IPv4 header of the frame, which has no options. */
static void put_checksum(uint8_t *ip) {
    uint32_t sum = 0;
    ip[10] = ip[11] = 0;
    for (int n = 0; n < 20; n += 2) sum += (uint32_t)(ip[n] << 8 | ip[n + 1]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    ip[10] = (uint8_t)(~sum >> 8);
    ip[11] = (uint8_t)~sum;
}

/*
 * Send frames through a switch, IN_FLIGHT at a time, each of a flow of its own, for a while; count
 * those that arrive. `errors` are those that did not.
 */
static uint64_t run_flows(struct channel *c) {
    struct sockaddr_ll in = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    struct sockaddr_ll out = {.sll_family = AF_PACKET};
    struct timeval patience = {0, 300000};
    int large = 4 << 20;
    out.sll_ifindex = (int)if_nametoindex(link_name);
    in.sll_ifindex = (int)if_nametoindex(far_link_name);
    int from = socket(AF_PACKET, SOCK_RAW, 0), to = socket(AF_PACKET, SOCK_RAW, 0);
    if (from < 0 || to < 0 || bind(from, (struct sockaddr *)&out, sizeof out)) die("link");
    if (setsockopt(to, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large) ||
        setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
        die("setsockopt");
    if (bind(to, (struct sockaddr *)&in, sizeof in)) die("far link");
    uint64_t begin = now(), end = begin + (uint64_t)milliseconds * 1000000u, sent = 0;
    uint32_t n = first_number;
    while (now() < end) {
        uint32_t window = IN_FLIGHT, got = 0;
        if (count && sent + window > count) window = (uint32_t)(count - sent);
        if (!window) break;
        for (uint32_t i = 0; i < window; i++, n++) {
            put32(frame.data + frame_source, htonl(n));
            put_checksum(frame.data + ETH_HLEN);
            if (send(from, frame.data, frame.length, 0) < 0) die("frame");
        }
        sent += window;
        while (got < window) {
            int many = recvmmsg(to, c->slots, MANY, MSG_WAITFORONE, NULL);
            if (many < 0 && errno == EAGAIN) break;
            if (many < 0) die("arrivals");
            got += (uint32_t)many;
        }
        c->replies += got;
    }
    c->errors = sent - c->replies;
    return now() - begin;
}

static void read_blob(struct blob *blob, const char *text) {
    size_t digits = strlen(text);
    if (digits % 2 || digits / 2 > MOST) exit(2);
    blob->length = (uint32_t)(digits / 2);
    for (uint32_t n = 0; n < blob->length; n++) {
        unsigned byte;
        if (sscanf(text + 2 * n, "%2x", &byte) != 1) exit(2);
        blob->data[n] = (uint8_t)byte;
    }
}

static void take(char *argument) {
    static const struct { const char *name; struct blob *blob; uint32_t *number; } known[] = {
        {"create", &create, NULL}, {"delete", &delete, NULL}, {"execute", &execute, NULL},
        {"frame", &frame, NULL}, {"vport", &vport, NULL}, {"create_head", &create_head, NULL},
        {"create_tail", &create_tail, NULL}, {"execute_head", &execute_head, NULL},
        {"execute_middle", &execute_middle, NULL}, {"count", NULL, &count},
        {"batch", NULL, &batch},
        {"create_source", NULL, &create_source}, {"execute_source", NULL, &execute_source},
        {"frame_source", NULL, &frame_source}, {"vport_pid_at", NULL, &vport_pid_at},
        {"show", NULL, &show}, {"milliseconds", NULL, &milliseconds},
        {"first", NULL, &first_number},
    };
    char *value = strchr(argument, '=');
    if (!value) exit(2);
    *value++ = 0;
    if (!strcmp(argument, "link")) {
        link_name = value;
        return;
    }
    if (!strcmp(argument, "far_link")) {
        far_link_name = value;
        return;
    }
    for (size_t n = 0; n < sizeof known / sizeof *known; n++) {
        if (strcmp(known[n].name, argument)) continue;
        if (known[n].blob) read_blob(known[n].blob, value);
        else *known[n].number = (uint32_t)strtoul(value, NULL, 10);
        return;
    }
    fprintf(stderr, "peer: what is %s?\n", argument);
    exit(2);
}

int main(int argc, char **argv) {
    static const struct { const char *name; uint64_t (*run)(struct channel *); } operations[] = {
        {"create", run_create}, {"execute", run_execute}, {"create-delete", run_create_delete},
        {"two", run_two}, {"upcalls", run_upcalls}, {"flows", run_flows},
    };
    if (argc < 2) return 2;
    for (int n = 2; n < argc; n++) take(argv[n]);
    struct channel *c = open_channel();
    for (size_t n = 0; n < sizeof operations / sizeof *operations; n++) {
        if (strcmp(operations[n].name, argv[1])) continue;
        uint64_t took = operations[n].run(c);
        if (!show)
            printf("{\"nanoseconds\": %llu, \"replies\": %llu, \"errors\": %llu}\n",
                   (unsigned long long)took, (unsigned long long)c->replies,
                   (unsigned long long)c->errors);
        return 0;
    }
    return 2;
}
