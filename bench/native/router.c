// The reference: Invoke and the Runtime API in one epoll process, and nothing else. No signature check, no
// limits, no logs, no isolation: what is left is what any router in front of this runtime interface client costs.
//
//   router API_PORT RUNTIME_PORT      (0: any free port; prints "ready API_PORT RUNTIME_PORT")
//
// API port:      POST .../invocations   hands the body to an idle environment and returns its response
//                POST /flood/N          from now on answers /next itself with this body, N at a time (the bare
//                                       ceiling of the runtime interface client: no caller is involved)
//                POST /rest             ends the flood; returns counts and the time from /next answered to response
//                GET  /idle             how many environments wait
// Runtime port:  GET .../next, POST .../{id}/response, POST .../{id}/error
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"

enum { MAX_FDS = 4096, MAX_EVENTS = 256 };

struct connection {
  int fd;
  bool is_api, is_waiting;     // waiting: an API connection in the queue, or a runtime connection parked on /next
  bool writes;                 // EPOLLOUT is asked for
  struct buffer in, out;
  size_t sent;                 // of `out`
  struct message message;
  struct connection *next;     // in `idle` or in the queue
};

static struct connection *connections[MAX_FDS];
static struct connection *idle;                       // a stack: the most recently used environment is warmest
static struct connection *queue_head, *queue_tail;    // API connections in order of arrival
static struct { struct connection *caller; uint64_t started_us; bool is_flood; } in_flight[65536];
static int poller;
static unsigned next_id, idle_count;

static struct buffer flood_event;
static unsigned flood_limit, flood_in_flight;
static uint64_t flood_started_us, flood_failed;
static struct samples flood_samples;

static void watch(struct connection *c, int operation) {
  struct epoll_event e = {.events = EPOLLIN | (c->writes ? EPOLLOUT : 0), .data.fd = c->fd};
  epoll_ctl(poller, operation, c->fd, &e);
}

static void flush(struct connection *c) {
  while (c->sent < c->out.length) {
    ssize_t n = send(c->fd, c->out.data + c->sent, c->out.length - c->sent, MSG_NOSIGNAL);
    if (n <= 0) break;
    c->sent += (size_t)n;
  }
  if (c->sent == c->out.length) c->sent = c->out.length = 0;
  bool writes = c->out.length > 0;
  if (writes != c->writes) {
    c->writes = writes;
    watch(c, EPOLL_CTL_MOD);
  }
}

static void respond(struct connection *c, const char *status, const char *headers, const char *body, size_t n) {
  char head[1024];
  int k = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
                   status, headers, n);
  append(&c->out, head, (size_t)k);
  append(&c->out, body, n);
  flush(c);
}

static void send_event(struct connection *runtime, struct connection *caller, const char *event, size_t n) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  unsigned id = next_id++ & 0xffff;
  in_flight[id].caller = caller;
  in_flight[id].is_flood = caller == NULL;
  in_flight[id].started_us = now_us();
  char headers[600];
  snprintf(headers, sizeof headers,
           "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-%012x\r\n"
           "Lambda-Runtime-Deadline-Ms: %lld\r\n"
           "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:bench-echo\r\n"
           "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n",
           id, (long long)t.tv_sec * 1000 + 30000);
  respond(runtime, "200 OK", headers, event, n);
}

static void dispatch(void) {
  while (idle && (queue_head || flood_in_flight < flood_limit)) {
    struct connection *runtime = idle;
    idle = runtime->next, runtime->is_waiting = false, idle_count--;
    if (!queue_head) {
      flood_in_flight++;
      send_event(runtime, NULL, flood_event.data, flood_event.length);
      continue;
    }
    struct connection *caller = queue_head;
    if (!(queue_head = caller->next)) queue_tail = NULL;
    caller->is_waiting = false;
    send_event(runtime, caller, caller->in.data + caller->message.head, caller->message.body);
    consume(&caller->in, &caller->message);
  }
}

static void unlink_waiting(struct connection *c) {
  struct connection **at = c->is_api ? &queue_head : &idle, *previous = NULL;
  while (*at && *at != c) previous = *at, at = &(*at)->next;
  if (*at) *at = c->next;
  if (c->is_api && queue_tail == c) queue_tail = previous;
  if (!c->is_api) idle_count--;
}

static void end(struct connection *c) {
  if (c->is_waiting) unlink_waiting(c);
  if (c->is_api)
    for (unsigned i = 0; i < 65536; i++)
      if (in_flight[i].caller == c) in_flight[i].caller = NULL;  // the environment goes on; its answer is dropped
  connections[c->fd] = NULL;
  close(c->fd);
  free(c->in.data), free(c->out.data), free(c);
}

// A request to the API port. True when it was answered at once (and may be consumed).
static bool on_api(struct connection *c) {
  const char *line = c->in.data, *body = c->in.data + c->message.head;
  char out[512], spread[256];
  if (strncmp(line, "POST /flood/", 12) == 0) {
    flood_limit = (unsigned)strtoul(line + 12, NULL, 10);
    flood_event.length = flood_samples.count = flood_failed = 0;
    append(&flood_event, body, c->message.body);
    flood_started_us = now_us();
    respond(c, "200 OK", "", "{}", 2);
    dispatch();
  } else if (strncmp(line, "POST /rest", 10) == 0) {
    uint64_t elapsed_us = now_us() - flood_started_us;
    size_t count = flood_samples.count;
    flood_limit = 0;
    quantiles(&flood_samples, spread, sizeof spread);
    int n = snprintf(out, sizeof out, "{\"ok\": %zu, \"failed\": %llu, \"elapsed_us\": %llu, %s}", count,
                     (unsigned long long)flood_failed, (unsigned long long)elapsed_us, spread);
    respond(c, "200 OK", "", out, (size_t)n);
  } else if (strncmp(line, "GET /idle", 9) == 0) {
    int n = snprintf(out, sizeof out, "{\"idle\": %u}", idle_count);
    respond(c, "200 OK", "", out, (size_t)n);
  } else {
    c->is_waiting = true, c->next = NULL;
    if (queue_tail) queue_tail->next = c; else queue_head = c;
    queue_tail = c;
    dispatch();
    return false;
  }
  return true;
}

static void on_runtime(struct connection *c) {
  if (c->in.data[0] == 'G') {
    consume(&c->in, &c->message);
    c->is_waiting = true, c->next = idle, idle = c, idle_count++;
    dispatch();
    return;
  }
  const char *at = memmem(c->in.data, c->message.head, "/invocation/", 12);
  if (!at) {  // an initialization error
    fprintf(stderr, "%.*s\n", (int)c->message.body, c->in.data + c->message.head);
  } else {
    unsigned id = (unsigned)strtoul(at + 12 + 24, NULL, 16) & 0xffff;
    bool failed = strncmp(at + 12 + 36, "/error", 6) == 0;
    if (in_flight[id].is_flood) {
      flood_in_flight--;
      if (flood_limit && !failed) record(&flood_samples, now_us() - in_flight[id].started_us);
      flood_failed += failed;
      in_flight[id].is_flood = false;
    } else if (in_flight[id].caller) {
      respond(in_flight[id].caller, "200 OK",
              failed ? "X-Amz-Executed-Version: $LATEST\r\nX-Amz-Function-Error: Unhandled\r\n"
                     : "X-Amz-Executed-Version: $LATEST\r\n",
              c->in.data + c->message.head, c->message.body);
      in_flight[id].caller = NULL;
    }
  }
  consume(&c->in, &c->message);
  respond(c, "202 Accepted", "", "{\"status\":\"OK\"}\n", 16);
  dispatch();
}

static void on_readable(struct connection *c) {
  reserve(&c->in, 65536);
  ssize_t n = recv(c->fd, c->in.data + c->in.length, c->in.capacity - c->in.length - 1, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    end(c);
    return;
  }
  c->in.length += (size_t)n;
  c->in.data[c->in.length] = 0;
  int fd = c->fd;
  while (connections[fd] == c && !c->is_waiting && c->in.length && complete(&c->in, &c->message))
    if (!c->is_api)
      on_runtime(c);
    else if (on_api(c))
      consume(&c->in, &c->message);
  if (c->message.expects_continue && !c->is_waiting) {
    c->message.expects_continue = false;
    append(&c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    flush(c);
  }
}

static int listener(int port, int *bound) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, (void *)&a, sizeof a) || listen(s, 1024) || getsockname(s, (void *)&a, &n)) {
    perror("router: listen");
    exit(1);
  }
  *bound = ntohs(a.sin_port);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = s};
  epoll_ctl(poller, EPOLL_CTL_ADD, s, &e);
  return s;
}

static void on_connection(int listening, bool is_api) {
  for (int fd; (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    if (fd >= MAX_FDS) {
      close(fd);
      continue;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = must(calloc(1, sizeof *c));
    c->fd = fd, c->is_api = is_api;
    connections[fd] = c;
    watch(c, EPOLL_CTL_ADD);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: router API_PORT RUNTIME_PORT\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  poller = epoll_create1(EPOLL_CLOEXEC);
  int api_port, runtime_port;
  int api = listener(atoi(argv[1]), &api_port), runtime = listener(atoi(argv[2]), &runtime_port);
  printf("ready %d %d\n", api_port, runtime_port);
  fflush(stdout);
  struct epoll_event events[MAX_EVENTS];
  for (;;) {
    int n = epoll_wait(poller, events, MAX_EVENTS, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == api || fd == runtime) {
        on_connection(fd, fd == api);
        continue;
      }
      if (connections[fd] && events[i].events & EPOLLOUT) flush(connections[fd]);
      if (connections[fd] && events[i].events & ~(uint32_t)EPOLLOUT) on_readable(connections[fd]);
    }
  }
}
