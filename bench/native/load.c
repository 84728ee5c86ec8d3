// Load generator: N keep-alive connections, each sends the same bytes again as soon as its response is complete.
//
//   load --port P --connections N --request FILE [--seconds S] [--each K] [--grace S] [--body FILE] [--contains TEXT]
//        [--status N]
//
// Stops sending after S seconds, or when each connection has had K responses, and waits up to --grace seconds for
// what is still under way. A response counts as ok only when it is a 200 (or N) without X-Amz-Function-Error whose body
// equals --body, or holds --contains. Prints one JSON object; latencies are from the first byte sent to the last
// byte received, connecting excluded. One thread, so that it takes at most one core from what it measures.
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"

struct client {
  int fd;
  uint64_t started_us;
  size_t sent;
  unsigned answers;
  bool under_way, is_reused, writes;
  struct buffer in;
  struct message message;
};

static struct buffer request, expected;
static const char *contains;
static const char *status = "200";
static int port, poller;
static unsigned each = UINT32_MAX, open_requests;
static uint64_t stop_us = UINT64_MAX, last_us, ok, failed, reconnects;
static struct samples samples;
static char first_failure[240];

static void slurp(const char *path, struct buffer *into) {
  FILE *f = must(fopen(path, "rb"));
  char block[65536];
  for (size_t n; (n = fread(block, 1, sizeof block, f));) append(into, block, n);
  fclose(f);
}

static void fail(const char *what, const char *detail, size_t n) {
  failed++;
  if (first_failure[0]) return;
  int k = snprintf(first_failure, sizeof first_failure, "%s: %.*s", what, (int)(n > 180 ? 180 : n), detail);
  for (int i = 0; i < k && first_failure[i]; i++)
    if (!isprint((unsigned char)first_failure[i]) || strchr("\"\\", first_failure[i])) first_failure[i] = '.';
}

static bool connected(struct client *c) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(c->fd, (void *)&a, sizeof a)) {
    close(c->fd);
    c->fd = -1;
    return false;
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
  c->is_reused = c->writes = false, c->in.length = 0;
  memset(&c->message, 0, sizeof c->message);
  return true;
}

static void drop(struct client *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

static void push(struct client *c) {
  while (c->sent < request.length) {
    ssize_t n = send(c->fd, request.data + c->sent, request.length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0) break;
    c->sent += (size_t)n;
  }
  bool writes = c->sent < request.length;
  if (writes != c->writes) {
    struct epoll_event e = {.events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
    c->writes = writes;
  }
}

static void start(struct client *c) {
  uint64_t now = now_us();
  if (c->answers >= each || now >= stop_us) return;
  if (c->fd < 0) {
    reconnects++;
    if (!connected(c)) {
      fail("connect", strerror(errno), 80);
      c->answers = each;  // nobody listens: this client gives up
      return;
    }
    now = now_us();
  }
  c->started_us = now, c->sent = 0;
  if (!c->under_way) open_requests++;
  c->under_way = true;
  push(c);
}

static void finish(struct client *c) {
  c->under_way = false, open_requests--, c->answers++;
  last_us = now_us();
}

static void judge(struct client *c) {
  const char *body = c->in.data + c->message.head;
  size_t n = c->message.body;
  if (c->in.data[8] != ' ' || strncmp(c->in.data + 9, status, 3))
    fail("status", c->in.data, c->in.length);
  else if (header(c->in.data, c->message.head, "\r\nx-amz-function-error:"))
    fail("function error", body, n);
  else if (expected.data && (n != expected.length || memcmp(body, expected.data, n)))
    fail("another body", body, n);
  else if (contains && !memmem(body, n, contains, strlen(contains)))
    fail("another body", body, n);
  else {
    ok++;
    record(&samples, last_us - c->started_us);
  }
}

static void on_gone(struct client *c) {
  bool unanswered = c->under_way && c->in.length == 0;
  drop(c);
  if (unanswered && c->is_reused) {  // an idle connection may be closed at any time: this request was never seen
    start(c);
  } else if (c->under_way) {
    finish(c);
    fail("connection closed", c->in.data ? c->in.data : "", c->in.length);
    start(c);
  }
}

static void on_event(struct client *c, uint32_t events) {
  if (events & EPOLLOUT) push(c);
  if (!(events & ~(uint32_t)EPOLLOUT) || c->fd < 0) return;
  reserve(&c->in, 65536);
  ssize_t n = recv(c->fd, c->in.data + c->in.length, c->in.capacity - c->in.length - 1, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    on_gone(c);
    return;
  }
  c->in.length += (size_t)n;
  c->in.data[c->in.length] = 0;
  if (!c->under_way || !complete(&c->in, &c->message)) return;
  finish(c);
  judge(c);
  bool close_after = c->message.close;
  consume(&c->in, &c->message);
  c->is_reused = true;
  if (close_after) drop(c);
  start(c);
}

int main(int argc, char **argv) {
  unsigned connections = 1;
  double seconds = 0, grace = 10;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--connections")) connections = (unsigned)atoi(value);
    else if (!strcmp(name, "--seconds")) seconds = atof(value);
    else if (!strcmp(name, "--each")) each = (unsigned)atoi(value);
    else if (!strcmp(name, "--grace")) grace = atof(value);
    else if (!strcmp(name, "--request")) slurp(value, &request);
    else if (!strcmp(name, "--body")) slurp(value, &expected);
    else if (!strcmp(name, "--contains")) contains = value;
    else if (!strcmp(name, "--status")) status = value;
    else return fprintf(stderr, "load: what is %s?\n", name), 2;
  }
  if (!port || !request.length || (seconds <= 0 && each == UINT32_MAX))
    return fprintf(stderr, "load: --port, --request and --seconds or --each are needed\n"), 2;
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct client *clients = must(calloc(connections, sizeof *clients));
  for (unsigned i = 0; i < connections; i++)
    if (!connected(&clients[i])) return perror("load: connect"), 1;
  uint64_t begin = now_us(), end;
  last_us = begin;
  if (seconds > 0) stop_us = begin + (uint64_t)(seconds * 1e6);
  end = (seconds > 0 ? stop_us : begin) + (uint64_t)(grace * 1e6);
  for (unsigned i = 0; i < connections; i++) start(&clients[i]);
  struct epoll_event events[256];
  while (open_requests && now_us() < end) {
    int n = epoll_wait(poller, events, 256, 100);
    for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events);
  }
  for (unsigned i = 0; i < connections; i++)
    if (clients[i].under_way) fail("no answer in time", "", 0);
  char spread[256];
  quantiles(&samples, spread, sizeof spread);
  printf("{\"ok\": %llu, \"failed\": %llu, \"elapsed_us\": %llu, \"reconnects\": %llu, %s, \"first_failure\": \"%s\"}\n",
         (unsigned long long)ok, (unsigned long long)failed, (unsigned long long)(last_us - begin),
         (unsigned long long)reconnects, spread, first_failure);
  return 0;
}
