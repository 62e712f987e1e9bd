/* A load generator for servers that speak Socket.IO over websockets: thousands of clients in one thread, on epoll.
 *
 * It reads commands from standard input, one a line, and answers those marked * with one line of JSON:
 *
 *   server HOST PORT            a server; the first has number 0
 *   ready PREFIX                a client is ready when a message that begins with PREFIX has come
 *   client SERVER PACKET        a client, and what it answers to the opening packet of Engine.IO (`40{...}`)
 *   connect FIRST COUNT MANY *  connect those clients that are not connected, MANY at a time, until they are ready
 *   close FIRST COUNT *         close connections, and wait until the servers have closed them, too
 *   ask CLIENT EVENT            an event that `asks` sends; EVENT is its JSON array
 *   asks MANY *                 send what was asked, MANY at a time, and wait for each ack
 *   rooms                       forget the rooms
 *   room CLIENTS EVENT          members (numbers joined by commas); each `$` in EVENT becomes the mark of the message,
 *                               by which its deliveries are recognised: a server must return it in them
 *   closed SECONDS MANY *       each room has MANY messages in flight, of its first MANY members in turn: the next one
 *                               is sent when all members have received one
 *   open SECONDS RATE *         RATE messages a second in all, from room after room and member after member; latency
 *                               counts from when a message is due
 *   idle SECONDS *              answer pings
 *   stop                        end a `closed`, `open` or `idle` early
 *
 * What is refused as retryable is sent again. Latency is taken at every delivery, the sender's own included. Build: gcc -O2 -o generator generator.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MARK "bm."         /* a mark is this and 8 hexadecimal digits */
#define MARK_SIZE 11
#define RING 65536         /* messages that may be in flight */
#define BUFFER (1 << 18)
#define GROUP 32           /* a histogram has 32 buckets for each power of two: at most 3 % too high */
#define BUCKETS (40 * GROUP)
#define DRAIN_NS 60000000000LL
#define PATIENCE_NS 300000000000LL

enum state { AWAY, CONNECTING, UPGRADING, OPENING, READY, CLOSING };

struct client {
  int fd, server;
  enum state state;
  char *packet, *rest;     /* rest: an unfinished frame */
  size_t rest_size;
  int64_t began;           /* of the connect */
  int asks;                /* acks of `asks` that it waits for */
};
struct ask { int client; char *event; };
struct room { int *members, count, next; char *event; };
struct message { uint32_t id; int room, sender, left; int64_t since; };
struct histogram { uint64_t counts[BUCKETS], count; int64_t max; };

static struct sockaddr_in servers[64];
static int server_count;
static struct client *clients;
static int client_count, client_room;
static struct ask *asks;
static int ask_count, ask_room;
static int *asked_by_ack, asked_count, asked_room; /* which ask has the ack first_ask + n */
static uint32_t first_ask;
static int *again, again_count, again_room;        /* asks to be sent again */
static struct room *rooms;
static int room_count, room_room;
static struct message ring[RING];
static uint32_t id_by_ack[RING]; /* of the message that an ack is for */
static char ready_prefix[128] = "40";
static char buffer[BUFFER + BUFFER];
static int poller, timer;
static uint32_t next_id = 1, next_ack = 1;
static unsigned char mask[4];
static bool refilling;     /* closed loop: a message that all have is followed by the next */
static int senders;        /* of each room */
static bool stdin_ready, stdin_ended, stopped;
static struct histogram latency;
/* Since the command began. */
static uint64_t messages, deliveries, bytes, acks, refused, repeated, lost, unknown, in_flight, became_ready, failed, closed_count;
static int64_t busy_asks;

static void die(const char *format, ...) {
  va_list values;
  va_start(values, format);
  fputs("generator: ", stderr);
  vfprintf(stderr, format, values);
  fputc('\n', stderr);
  exit(1);
}

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void *grown(void *list, int count, int *room, size_t size) {
  if (count < *room) return list;
  *room = *room ? *room * 2 : 256;
  list = realloc(list, *room * size);
  if (!list) die("no memory");
  return list;
}

/* Histogram, in microseconds */

static void note(struct histogram *into, int64_t ns) {
  uint64_t us = ns > 0 ? ns / 1000 : 0;
  int bucket = us;
  if (us >= GROUP) {
    int shift = 63 - __builtin_clzll(us) - 5;
    bucket = (shift + 1) * GROUP + (us >> shift) - GROUP;
  }
  into->counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
  into->count++;
  if ((int64_t)us > into->max) into->max = us;
}

static uint64_t quantile(const struct histogram *of, double part) {
  uint64_t wanted = of->count * part, seen = 0;
  for (int bucket = 0; bucket < BUCKETS; bucket++) {
    seen += of->counts[bucket];
    if (seen <= wanted) continue;
    if (bucket < GROUP) return bucket;
    int shift = bucket / GROUP - 1;
    uint64_t upper = ((uint64_t)(bucket % GROUP + GROUP + 1) << shift) - 1;
    return upper < (uint64_t)of->max ? upper : (uint64_t)of->max;
  }
  return of->max;
}

/* Sockets */

static void watch(struct client *of, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.u32 = of - clients};
  if (epoll_ctl(poller, operation, of->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void end(struct client *of, bool expected) {
  if (of->state == AWAY) return;
  if (of->state < READY) failed++;
  else if (expected || of->state == CLOSING) closed_count++;
  else lost++;
  busy_asks -= of->asks;
  refused += of->asks;
  of->asks = 0;
  close(of->fd);
  free(of->rest);
  of->rest = NULL;
  of->rest_size = 0;
  of->state = AWAY;
}

static void frame(struct client *to, int kind, const char *text, size_t size) {
  static unsigned char out[1 << 17];
  if (to->state == AWAY) return;
  if (size > sizeof out - 16) die("a message of %zu bytes is too large", size);
  size_t at = 0;
  out[at++] = 0x80 | kind;
  if (size < 126) out[at++] = 0x80 | size;
  else if (size < 65536) { out[at++] = 0xfe; out[at++] = size >> 8; out[at++] = size; }
  else { out[at++] = 0xff; for (int shift = 56; shift >= 0; shift -= 8) out[at++] = (uint64_t)size >> shift; }
  memcpy(out + at, mask, 4);
  at += 4;
  for (size_t i = 0; i < size; i++) out[at + i] = text[i] ^ mask[i & 3];
  ssize_t written = write(to->fd, out, at + size);
  if (written != (ssize_t)(at + size)) end(to, false); /* a server that reads nothing any more */
}

static void begin_connect(struct client *of) {
  int yes = 1;
  of->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (of->fd < 0) die("socket: %s (raise ulimit -n)", strerror(errno));
  setsockopt(of->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  of->began = now();
  of->state = CONNECTING;
  struct sockaddr_in *to = &servers[of->server];
  if (connect(of->fd, (struct sockaddr *)to, sizeof *to) && errno != EINPROGRESS) {
    end(of, false);
    return;
  }
  watch(of, EPOLLOUT, EPOLL_CTL_ADD);
}

static void upgrade(struct client *of) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(of->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) { end(of, false); return; }
  char head[400];
  int length = snprintf(head, sizeof head,
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ntohs(servers[of->server].sin_port));
  if (write(of->fd, head, length) != length) { end(of, false); return; }
  of->state = UPGRADING;
  watch(of, EPOLLIN, EPOLL_CTL_MOD);
}

/* Messages */

/* The text of an event with each `$` replaced; its size. */
static size_t filled(char *out, size_t room, const char *event, uint32_t id) {
  size_t at = 0;
  for (; *event; event++) {
    if (at + MARK_SIZE + 1 > room) die("an event is too large");
    if (*event == '$') at += snprintf(out + at, MARK_SIZE + 1, MARK "%08x", id);
    else out[at++] = *event;
  }
  return at;
}

static void send_message(const struct message *of) {
  static char text[1 << 17];
  id_by_ack[next_ack % RING] = of->id;
  size_t at = snprintf(text, 32, "42%u", next_ack++);
  at += filled(text + at, sizeof text - at, rooms[of->room].event, of->id);
  frame(&clients[of->sender], 1, text, at);
}

static void send_next(int number, int64_t since) {
  struct room *of = &rooms[number];
  uint32_t id = next_id++;
  struct message *slot = &ring[id % RING];
  if (slot->left) die("more than %d messages are in flight", RING);
  *slot = (struct message){id, number, of->members[of->next], of->count, since};
  of->next = (of->next + 1) % (senders < of->count ? senders : of->count);
  in_flight++;
  messages++;
  send_message(slot);
}

static void on_delivery(const char *mark, int64_t at) {
  uint32_t id = 0;
  for (int i = 3; i < MARK_SIZE; i++) id = id << 4 | (mark[i] <= '9' ? mark[i] - '0' : mark[i] - 'a' + 10);
  struct message *of = &ring[id % RING];
  if (of->id != id || !of->left) { unknown++; return; }
  deliveries++;
  note(&latency, at - of->since);
  if (--of->left) return;
  in_flight--;
  if (refilling) send_next(of->room, now());
}

/* What was refused as retryable is sent again as it was, as clients do. */
static void on_ack(struct client *of, char *text, size_t size) {
  uint32_t ack = strtoul(text + 2, NULL, 10), ask = ack - first_ask;
  bool is_ask = of->asks && ask < (uint32_t)asked_count;
  if (is_ask) { of->asks--; busy_asks--; }
  if (!memmem(text, size, "\"ok\":false", 10)) { acks++; return; }
  struct message *message = &ring[id_by_ack[ack % RING] % RING];
  if (!memmem(text, size, "\"retryable\":true", 16) || (!is_ask && message->id != id_by_ack[ack % RING])) {
    if (!refused++) fprintf(stderr, "generator: refused: %.*s\n", (int)(size < 300 ? size : 300), text);
    return;
  }
  repeated++;
  if (!is_ask) { send_message(message); return; }
  again = grown(again, again_count, &again_room, sizeof *again);
  again[again_count++] = asked_by_ack[ask];
}

static void on_message(struct client *of, char *text, size_t size, int64_t at) {
  if (of->state == OPENING && size >= strlen(ready_prefix) && !memcmp(text, ready_prefix, strlen(ready_prefix))) {
    of->state = READY;
    became_ready++;
    note(&latency, at - of->began);
    return;
  }
  if (size && text[0] == '2') frame(of, 1, "3", 1);
  else if (size && text[0] == '0') frame(of, 1, of->packet, strlen(of->packet));
  else if (size > 1 && text[0] == '4' && text[1] == '2') {
    char *mark = memmem(text, size, MARK, 3);
    if (mark && mark + MARK_SIZE <= text + size) {
      bytes += size;
      on_delivery(mark, at);
    }
  } else if (size > 1 && text[0] == '4' && text[1] == '3') {
    on_ack(of, text, size);
  } else if (size > 1 && text[0] == '4' && (text[1] == '4' || text[1] == '1')) {
    if (of->state == OPENING && !failed) fprintf(stderr, "generator: refused: %.*s\n", (int)(size < 300 ? size : 300), text);
    end(of, false);
  }
}

/* Take the whole frames of what has come; how much of it was taken. */
static size_t frames(struct client *of, char *data, size_t size, int64_t at) {
  size_t taken = 0;
  while (of->state != AWAY && size - taken >= 2) {
    unsigned char *head = (unsigned char *)data + taken;
    size_t length = head[1] & 0x7f, body = 2;
    if (length == 126) { body = 4; if (size - taken < 4) break; length = head[2] << 8 | head[3]; }
    else if (length == 127) {
      body = 10;
      if (size - taken < 10) break;
      length = 0;
      for (int i = 2; i < 10; i++) length = length << 8 | head[i];
    }
    if (length > BUFFER - 16) die("a frame of %zu bytes", length);
    if (size - taken < body + length) break;
    taken += body + length;
    if (head[0] == 0x81) on_message(of, (char *)head + body, length, at);
    else if (head[0] == 0x89) frame(of, 10, (char *)head + body, length);
    else if (head[0] == 0x88) end(of, of->state == CLOSING);
    else if (head[0] != 0x8a) die("a frame of kind %#x", head[0]);
  }
  return taken;
}

static void on_readable(struct client *of) {
  if (of->rest_size) memcpy(buffer, of->rest, of->rest_size);
  ssize_t got = read(of->fd, buffer + of->rest_size, BUFFER);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) { end(of, of->state == CLOSING); return; }
  size_t size = of->rest_size + got, taken = 0;
  int64_t at = now();
  if (of->state == UPGRADING) {
    char *head_end = memmem(buffer, size, "\r\n\r\n", 4);
    if (head_end) {
      if (size < 12 || memcmp(buffer, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "generator: not upgraded: %.*s\n", (int)(size < 60 ? size : 60), buffer);
        end(of, false);
        return;
      }
      of->state = OPENING;
      taken = head_end + 4 - buffer;
    }
  }
  if (of->state >= OPENING) taken += frames(of, buffer + taken, size - taken, at);
  if (of->state == AWAY) return;
  size -= taken;
  if (size) {
    of->rest = realloc(of->rest, size);
    if (!of->rest) die("no memory");
    memcpy(of->rest, buffer + taken, size);
  }
  of->rest_size = size;
}

/* Wait for what happens first: something on a socket, the timer, a line (`stdin_ready`), or the time limit. */
static bool turn(int timeout_ms) {
  static struct epoll_event events[512];
  int count = epoll_wait(poller, events, 512, timeout_ms);
  bool rang = false;
  for (int i = 0; i < count; i++) {
    uint32_t number = events[i].data.u32;
    if (number == UINT32_MAX) stdin_ready = true;
    else if (number == UINT32_MAX - 1) {
      uint64_t times;
      rang = read(timer, &times, sizeof times) > 0;
    } else if (clients[number].state == CONNECTING) upgrade(&clients[number]);
    else if (clients[number].state != AWAY) on_readable(&clients[number]);
  }
  return rang;
}

/* Commands */

static char *line_at, lines[1 << 20];
static size_t lines_size;

/* The next line of standard input, or NULL when it has not come yet. */
static char *next_line(void) {
  for (;;) {
    char *stop = lines_size ? memchr(line_at, '\n', lines + lines_size - line_at) : NULL;
    if (stop) {
      char *line = line_at;
      *stop = 0;
      line_at = stop + 1;
      return line;
    }
    if (!stdin_ready) return NULL;
    if (line_at) { memmove(lines, line_at, lines + lines_size - line_at); lines_size -= line_at - lines; }
    line_at = lines;
    if (lines_size == sizeof lines) die("a command is too long");
    ssize_t got = read(0, lines + lines_size, sizeof lines - lines_size);
    stdin_ready = false;
    if (got < 0 && errno == EAGAIN) return NULL;
    if (got <= 0) {
      stdin_ended = true;
      epoll_ctl(poller, EPOLL_CTL_DEL, 0, NULL);
      return NULL;
    }
    lines_size += got;
  }
}

static bool told_to_stop(void) {
  if (!stdin_ready) return false;
  char *line = next_line();
  if (line && !strcmp(line, "stop")) stopped = true;
  else if (line) die("only `stop` may come meanwhile, not %s", line);
  return stopped;
}

static int64_t command_began, cpu_began;

static int64_t cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL
       + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL;
}

static void begin_command(void) {
  messages = deliveries = bytes = acks = refused = repeated = lost = unknown = became_ready = failed = closed_count = 0;
  memset(&latency, 0, sizeof latency);
  stopped = false;
  command_began = now();
  cpu_began = cpu();
}

static void answer(void) {
  double seconds = (now() - command_began) / 1e9;
  printf("{\"seconds\": %.4f, \"ready\": %lu, \"failed\": %lu, \"closed\": %lu, \"messages\": %lu, \"deliveries\": %lu, "
         "\"bytes\": %lu, \"acks\": %lu, \"refused\": %lu, \"repeated\": %lu, \"lost\": %lu, \"unknown\": %lu, \"unfinished\": %lu, "
         "\"p50_us\": %lu, \"p99_us\": %lu, \"p999_us\": %lu, \"max_us\": %lu, \"cpu_share\": %.3f}\n",
         seconds, became_ready, failed, closed_count, messages, deliveries, bytes, acks, refused, repeated, lost, unknown,
         in_flight, quantile(&latency, 0.5), quantile(&latency, 0.99), quantile(&latency, 0.999),
         (uint64_t)latency.max, (cpu() - cpu_began) / 1e9 / seconds);
  fflush(stdout);
  if (in_flight) {
    memset(ring, 0, sizeof ring);
    in_flight = 0;
  }
}

static void drain(void) {
  refilling = false;
  int64_t until = now() + DRAIN_NS;
  while (in_flight && now() < until) turn(10);
  /* Acks may come after the last delivery. */
  until = now() + DRAIN_NS;
  while (acks < messages && !lost && now() < until) turn(10);
}

static void run_connect(int first, int count, int many) {
  begin_command();
  int next = first, begun = 0;
  int64_t until = now() + PATIENCE_NS;
  while ((next < first + count || begun > (int)(became_ready + failed)) && now() < until) {
    for (; next < first + count && begun - (int)(became_ready + failed) < many; next++) {
      if (clients[next].state != AWAY) continue;
      begun++;
      begin_connect(&clients[next]);
    }
    turn(10);
  }
  answer();
}

static void run_close(int first, int count) {
  begin_command();
  int open = 0;
  for (int i = first; i < first + count; i++) {
    if (clients[i].state == AWAY) continue;
    open++;
    clients[i].state = CLOSING;
    frame(&clients[i], 8, "\x03\xe8", 2);
  }
  int64_t until = now() + DRAIN_NS;
  while (closed_count < (uint64_t)open && now() < until) turn(10);
  for (int i = first; i < first + count; i++) end(&clients[i], true);
  answer();
}

static void run_asks(int many) {
  static char text[1 << 17];
  begin_command();
  busy_asks = asked_count = again_count = 0;
  first_ask = next_ack;
  int next = 0;
  int64_t until = now() + PATIENCE_NS;
  while ((next < ask_count || again_count || busy_asks) && now() < until) {
    while ((next < ask_count || again_count) && busy_asks < many) {
      int number = next < ask_count ? next++ : again[--again_count];
      struct client *of = &clients[asks[number].client];
      if (of->state != READY) { refused++; continue; }
      asked_by_ack = grown(asked_by_ack, asked_count, &asked_room, sizeof *asked_by_ack);
      asked_by_ack[asked_count++] = number;
      of->asks++;
      busy_asks++;
      int size = snprintf(text, sizeof text, "42%u%s", next_ack++, asks[number].event);
      frame(of, 1, text, size);
    }
    turn(10);
  }
  refused += again_count;
  for (int i = 0; i < client_count; i++) { refused += clients[i].asks; clients[i].asks = 0; }
  while (ask_count) free(asks[--ask_count].event);
  answer();
}

static void run_closed(double seconds, int many) {
  begin_command();
  int64_t until = command_began + seconds * 1e9;
  senders = many;
  for (int room = 0; room < room_count; room++) rooms[room].next = 0;
  refilling = true;
  for (int sent = 0; sent < many; sent++)
    for (int room = 0; room < room_count; room++) {
      send_next(room, now());
      if (room % 64 == 63) turn(0);
    }
  while (now() < until && !told_to_stop()) turn(10);
  drain();
  answer();
}

static void run_open(double seconds, double rate) {
  begin_command();
  int64_t until = command_began + seconds * 1e9, due = command_began, step = 1e9 / rate;
  int room = 0;
  senders = client_count;
  while (due < until && !told_to_stop()) {
    for (; due <= now(); due += step) {
      send_next(room, due);
      room = (room + 1) % room_count;
    }
    struct itimerspec when = {.it_value = {due / 1000000000LL, due % 1000000000LL}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
    turn(10);
  }
  drain();
  answer();
}

static void run_idle(double seconds) {
  begin_command();
  int64_t until = command_began + seconds * 1e9;
  while (now() < until && !told_to_stop()) turn(10);
  answer();
}

static struct client *client_at(int number) {
  if (number < 0 || number >= client_count) die("there is no client %d", number);
  return &clients[number];
}

static void check_range(int first, int count) {
  if (count < 1) die("no clients");
  client_at(first);
  client_at(first + count - 1);
}

static void add_room(char *members, const char *event) {
  rooms = grown(rooms, room_count, &room_room, sizeof *rooms);
  struct room *of = &rooms[room_count++];
  *of = (struct room){.event = strdup(event)};
  int room = 0;
  for (char *at = strtok(members, ","); at; at = strtok(NULL, ",")) {
    of->members = grown(of->members, of->count, &room, sizeof *of->members);
    client_at(of->members[of->count++] = atoi(at));
  }
}

static void carry_out(char *line) {
  char *rest = strchrnul(line, ' ');
  if (*rest) *rest++ = 0;
  char *last = strchrnul(rest, ' '); /* the second argument, and all that follows */
  int first = 0, count = 0, many = 0;
  double seconds = 0, number = 0;
  sscanf(rest, "%d %d %d", &first, &count, &many);
  sscanf(rest, "%lf %lf", &seconds, &number);
  if (!strcmp(line, "server")) {
    *last++ = 0;
    struct sockaddr_in *at = &servers[server_count++];
    at->sin_family = AF_INET;
    at->sin_port = htons(atoi(last));
    if (server_count == 64 || inet_pton(AF_INET, rest, &at->sin_addr) != 1) die("server %s", rest);
  } else if (!strcmp(line, "ready")) snprintf(ready_prefix, sizeof ready_prefix, "%s", rest);
  else if (!strcmp(line, "client")) {
    if (first < 0 || first >= server_count || !*last) die("client %s", rest);
    clients = grown(clients, client_count, &client_room, sizeof *clients);
    clients[client_count++] = (struct client){.server = first, .packet = strdup(last + 1)};
  } else if (!strcmp(line, "ask")) {
    client_at(first);
    if (!*last) die("ask %s", rest);
    asks = grown(asks, ask_count, &ask_room, sizeof *asks);
    asks[ask_count++] = (struct ask){first, strdup(last + 1)};
  } else if (!strcmp(line, "rooms")) {
    while (room_count) { room_count--; free(rooms[room_count].members); free(rooms[room_count].event); }
  } else if (!strcmp(line, "room")) {
    if (!*last) die("room %s", rest);
    *last++ = 0;
    add_room(rest, last);
  } else if (!strcmp(line, "connect")) { check_range(first, count); run_connect(first, count, many > 0 ? many : 1); }
  else if (!strcmp(line, "close")) { check_range(first, count); run_close(first, count); }
  else if (!strcmp(line, "asks")) run_asks(first > 0 ? first : 1);
  else if (!strcmp(line, "closed") && room_count) run_closed(seconds, number >= 1 ? number : 1);
  else if (!strcmp(line, "open") && room_count && number > 0) run_open(seconds, number);
  else if (!strcmp(line, "idle")) run_idle(seconds);
  else if (strcmp(line, "stop")) die("what is %s %s", line, rest);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* a benchmark that ends in the midst of a load leaves nothing behind */
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  poller = epoll_create1(EPOLL_CLOEXEC);
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  FILE *chance = fopen("/dev/urandom", "r");
  if (poller < 0 || timer < 0 || !chance || fread(mask, 4, 1, chance) != 1) die("cannot start");
  fclose(chance);
  fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event)) die("standard input must be a pipe");
  event.data.u32 = UINT32_MAX - 1;
  epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
  for (;;) {
    char *line = next_line();
    if (line) carry_out(line);
    else if (stdin_ended) return 0;
    else turn(1000);
  }
}
