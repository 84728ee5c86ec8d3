// HTTP/1.1 framing and latency samples, shared by the reference router and the load generator.
// One growing buffer per connection; a message is found incrementally, so a 6 MB body is scanned once.
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct buffer {
  char *data;
  size_t length, capacity;
};

// Where the first message of a buffer lies. Zeroed before each message.
struct message {
  size_t head;        // length of start line and headers; 0: not yet known
  size_t scanned;     // bytes already searched for the end of the headers
  size_t body;        // bytes of decoded body so far, at data + head
  size_t raw;         // bytes of the buffer consumed so far, framing included
  size_t declared;    // Content-Length
  size_t chunk_left;  // bytes to come in the current chunk
  bool chunked, last_chunk, close, expects_continue;
};

static inline uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void *must(void *p) {
  if (!p) abort();
  return p;
}

// Room for at least `more` bytes and a terminating zero.
static inline void reserve(struct buffer *b, size_t more) {
  if (b->capacity - b->length > more) return;
  while (b->capacity - b->length <= more) b->capacity = b->capacity ? b->capacity * 2 : 16384;
  b->data = must(realloc(b->data, b->capacity));
}

static inline void append(struct buffer *b, const void *bytes, size_t n) {
  reserve(b, n);
  memcpy(b->data + b->length, bytes, n);
  b->length += n;
}

// Value of a header (`name` as "\r\nname:", lower case) inside the head, or NULL.
static inline const char *header(const char *data, size_t head, const char *name) {
  size_t n = strlen(name);
  for (size_t i = 0; i + n <= head; i++)
    if (data[i] == '\r' && strncasecmp(data + i, name, n) == 0) {
      const char *value = data + i + n;
      while (*value == ' ') value++;
      return value;
    }
  return NULL;
}

// Decodes whole chunks in place behind the head. True once the last chunk and its trailers are in.
static inline bool decode_chunks(struct buffer *b, struct message *m) {
  for (;;) {
    if (m->chunk_left) {
      size_t n = b->length - m->raw;
      if (n > m->chunk_left) n = m->chunk_left;
      memmove(b->data + m->head + m->body, b->data + m->raw, n);
      m->body += n, m->raw += n, m->chunk_left -= n;
      if (m->chunk_left) return false;
    }
    char *line = b->data + m->raw, *end = memmem(line, b->length - m->raw, "\r\n", 2);
    if (!end) return false;
    bool empty = end == line;  // the line end after a chunk's bytes, or the end of the trailers
    m->raw += (size_t)(end - line) + 2;
    if (m->last_chunk && empty) return true;
    if (m->last_chunk || empty) continue;
    m->chunk_left = strtoul(line, NULL, 16);
    m->last_chunk = m->chunk_left == 0;
  }
}

// True once the first message of the buffer is complete: `body` bytes at data + head.
static inline bool complete(struct buffer *b, struct message *m) {
  if (!m->head) {
    size_t from = m->scanned > 3 ? m->scanned - 3 : 0;
    char *end = b->length > from ? memmem(b->data + from, b->length - from, "\r\n\r\n", 4) : NULL;
    m->scanned = b->length;
    if (!end) return false;
    m->head = m->raw = (size_t)(end - b->data) + 4;
    const char *value;
    if ((value = header(b->data, m->head, "\r\ncontent-length:"))) m->declared = strtoul(value, NULL, 10);
    if ((value = header(b->data, m->head, "\r\ntransfer-encoding:"))) m->chunked = strncasecmp(value, "chunked", 7) == 0;
    if ((value = header(b->data, m->head, "\r\nconnection:"))) m->close = strncasecmp(value, "close", 5) == 0;
    if ((value = header(b->data, m->head, "\r\nexpect:"))) m->expects_continue = strncmp(value, "100", 3) == 0;
  }
  if (m->chunked) return decode_chunks(b, m);
  if (b->length < m->head + m->declared) return false;
  m->body = m->declared, m->raw = m->head + m->declared;
  return true;
}

// Drops the complete message; what follows it stays.
static inline void consume(struct buffer *b, struct message *m) {
  b->length -= m->raw;
  if (b->length) memmove(b->data, b->data + m->raw, b->length);
  memset(m, 0, sizeof *m);
}

// Latency samples, each in microseconds.
struct samples {
  uint32_t *us;
  size_t count, capacity;
};

static inline void record(struct samples *s, uint64_t us) {
  if (s->count == s->capacity) {
    s->capacity = s->capacity ? s->capacity * 2 : 65536;
    s->us = must(realloc(s->us, s->capacity * sizeof *s->us));
  }
  s->us[s->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

// "p50_us": .., as members of a JSON object; sorts the samples. All 0 when there are none.
static inline int quantiles(struct samples *s, char *out, size_t room) {
  if (s->count) qsort(s->us, s->count, sizeof *s->us, by_value);
#define AT(q) (s->count ? s->us[(size_t)((double)(s->count - 1) * (q) + 0.5)] : 0)
  return snprintf(out, room, "\"p50_us\": %u, \"p90_us\": %u, \"p99_us\": %u, \"max_us\": %u", AT(0.5), AT(0.9),
                  AT(0.99), AT(1.0));
#undef AT
}

#endif
