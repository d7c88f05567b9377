#include "gate/http.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gate/upgrade.h"

namespace evodb::gate {
namespace {

struct Outcome {
  std::vector<std::string> requests;  // "METHOD path?query [body]"
  int error = 0;
  std::string text;
  int continues = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome parse(const std::vector<std::string>& pieces, HttpLimits limits = {}) {
  HttpParser parser(limits);
  Outcome outcome;
  for (const std::string& piece : pieces) {
    parser.feed(piece);
    while (true) {
      ParsedRequest r;
      HttpError e;
      const auto step = parser.next(&r, &e);
      if (step == HttpParser::Step::kNeedMore) break;
      if (step == HttpParser::Step::kContinue) {
        ++outcome.continues;
        continue;
      }
      if (step == HttpParser::Step::kError) {
        if (outcome.error == 0) {
          outcome.error = e.status;
          outcome.text = e.text;
        }
        break;
      }
      outcome.requests.push_back(std::string(r.method) + " " + std::string(r.path) + "?" +
                                 std::string(r.query) + " [" + std::string(r.body) + "]" +
                                 (r.keep_alive ? "" : " close"));
    }
  }
  return outcome;
}

const std::string host = "Host: h\r\n";

TEST(HttpParser, GivesRequestsWithPathQueryAndBody) {
  EXPECT_EQ(parse({"GET / HTTP/1.1\r\n" + host + "\r\n"}).requests,
            (std::vector<std::string>{"GET /? []"}));
  EXPECT_EQ(parse({"GET /a?b=c?d HTTP/1.1\r\n" + host + "\r\n"}).requests,
            (std::vector<std::string>{"GET /a?b=c?d []"}));
  EXPECT_EQ(parse({"POST /flush HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc"}).requests,
            (std::vector<std::string>{"POST /flush? [abc]"}));
  EXPECT_EQ(parse({"GET http://h:1/x?y HTTP/1.1\r\n" + host + "\r\n"}).requests,
            (std::vector<std::string>{"GET /x?y []"}));
  EXPECT_EQ(parse({"GET http://h HTTP/1.1\r\n" + host + "\r\n"}).requests,
            (std::vector<std::string>{"GET /? []"}));
  EXPECT_EQ(parse({"GET / HTTP/1.0\r\n\r\n"}).requests,
            (std::vector<std::string>{"GET /? [] close"}));
  EXPECT_EQ(parse({"GET / HTTP/1.1\r\nConnection: Foo, CLOSE\r\n" + host + "\r\n"}).requests,
            (std::vector<std::string>{"GET /? [] close"}));
  EXPECT_EQ(parse({"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}).requests,
            (std::vector<std::string>{"GET /? []"}));
}

TEST(HttpParser, EverySplitGivesTheSame) {
  const std::string bytes = "\r\nPOST /a?q HTTP/1.1\r\nhOsT: x\r\nContent-Length: 5\r\n\r\nhello" +
                            std::string("GET /b HTTP/1.1\r\nHost:x\r\nX: \t y \r\n\r\n") +
                            "HEAD /c HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n";
  const Outcome whole = parse({bytes});
  ASSERT_EQ(whole.requests.size(), 3u);
  for (std::size_t i = 0; i <= bytes.size(); ++i) {
    EXPECT_EQ(parse({bytes.substr(0, i), bytes.substr(i)}), whole) << i;
  }
  std::vector<std::string> single;
  for (const char c : bytes) single.emplace_back(1, c);
  EXPECT_EQ(parse(single), whole);
}

TEST(HttpParser, RefusesEachMistakeWithItsStatus) {
  const std::string line = "GET / HTTP/1.1\r\n";
  const std::vector<std::pair<std::string, int>> cases = {
      {"GET /\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/1.1 \r\n" + host + "\r\n", 400},
      {"G\xffT / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/2.0\r\n" + host + "\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET / http/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/1.10\r\n" + host + "\r\n", 400},
      {"GET a HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n", 400},
      {line + "\r\n", 400},  // no Host
      {line + host + host + "\r\n", 400},
      {line + host + "A : b\r\n\r\n", 400},
      {line + host + " folded: b\r\n\r\n", 400},
      {line + host + "A: b\r\n\tc\r\n\r\n", 400},
      {line + host + "no colon\r\n\r\n", 400},
      {line + host + "A: b\rc\r\n\r\n", 400},
      {line + host + std::string("A: b\0c\r\n\r\n", 10), 400},
      {"GET / HTTP/1.1\nHost: h\n\n", 400},
      {line + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
      {line + host + "Content-Length: 5, 5\r\n\r\n", 400},
      {line + host + "Content-Length: -1\r\n\r\n", 400},
      {line + host + "Content-Length: +1\r\n\r\n", 400},
      {line + host + "Content-Length:\r\n\r\n", 400},
      {line + host + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {line + host + "Content-Length: 999999\r\n\r\n", 413},
      {line + host + "Transfer-Encoding: chunked\r\n\r\n", 411},
      {line + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {line + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
      {line + host + "Content-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\n", 400},
      {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {line + host + "Expect: 200-ok\r\n\r\n", 417},
      {std::string("\x16\x03\x01\x02", 4), 400},
      {std::string("\xc2\xcd\x01\x01", 4), 400},
      {line + host + "X: " + std::string(20'000, 'x') + "\r\n\r\n", 431},
      {"GET /" + std::string(20'000, 'x'), 431},
  };
  for (const auto& [bytes, status] : cases) {
    const Outcome outcome = parse({bytes});
    EXPECT_EQ(outcome.error, status) << bytes.substr(0, 80);
    EXPECT_FALSE(outcome.text.empty()) << bytes.substr(0, 80);
    EXPECT_TRUE(outcome.requests.empty()) << bytes.substr(0, 80);
  }
  std::string many = line + host;
  for (int i = 0; i < 200; ++i) many += "A: b\r\n";
  EXPECT_EQ(parse({many + "\r\n"}).error, 431);
}

TEST(HttpParser, NothingFollowsAnError) {
  const Outcome outcome = parse({"GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\n" + host + "\r\n"});
  EXPECT_EQ(outcome.error, 505);
  EXPECT_TRUE(outcome.requests.empty());
}

TEST(HttpParser, ExpectContinueIsAskedForOnce) {
  const std::string head =
      "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  const Outcome waiting = parse({head, "a", "b"});
  EXPECT_EQ(waiting.continues, 1);
  EXPECT_EQ(waiting.requests, (std::vector<std::string>{"POST /? [ab]"}));
  EXPECT_EQ(parse({head + "ab"}).continues, 0);
}

TEST(HttpParser, WhatFollowsAnUpgradeIsKept) {
  HttpParser parser({});
  parser.feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n\x81\x80");
  ParsedRequest r;
  HttpError e;
  ASSERT_EQ(parser.next(&r, &e), HttpParser::Step::kRequest);
  EXPECT_EQ(parser.rest(), "\x81\x80");
}

TEST(HttpParser, OneByteAtATimeCostsNoMoreThanItsLength) {
  HttpParser parser({.head_bytes_max = 1u << 20});
  ParsedRequest r;
  HttpError e;
  parser.feed("GET / HTTP/1.1\r\nX: ");
  for (int i = 0; i < 200'000; ++i) {
    parser.feed("x");
    ASSERT_EQ(parser.next(&r, &e), HttpParser::Step::kNeedMore);
  }
}

ParsedRequest good_upgrade() {
  ParsedRequest r;
  r.method = "GET";
  r.path = "/any/path";
  r.connection_upgrade = r.upgrade_websocket = true;
  r.host = "example.com:8787";
  r.websocket_key = "dGhlIHNhbXBsZSBub25jZQ==";
  r.websocket_version = "13";
  return r;
}

TEST(Upgrade, AcceptsWithTheKeyOfTheStandardsExample) {
  const ParsedRequest r = good_upgrade();
  ASSERT_TRUE(is_upgrade(r));
  EXPECT_EQ(check_upgrade(r).status, 0);
  std::string out;
  append_upgrade_response(out, r);
  EXPECT_NE(out.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), std::string::npos);
  EXPECT_EQ(out.find("Extensions"), std::string::npos);
}

TEST(Upgrade, RefusesEachMistakeWithItsStatus) {
  const auto status = [](auto change) {
    ParsedRequest r = good_upgrade();
    change(r);
    return check_upgrade(r).status;
  };
  EXPECT_EQ(status([](auto& r) { r.method = "POST"; }), 405);
  EXPECT_EQ(status([](auto& r) { r.http_1_0 = true; }), 400);
  EXPECT_EQ(status([](auto& r) { r.connection_upgrade = false; }), 400);
  EXPECT_EQ(status([](auto& r) { r.websocket_version = "8"; }), 426);
  EXPECT_EQ(status([](auto& r) { r.websocket_version = ""; }), 426);
  EXPECT_EQ(status([](auto& r) { r.websocket_key = "short=="; }), 400);
  EXPECT_EQ(status([](auto& r) { r.body = "x"; }), 400);
  const auto origin = [&](const char* o) {
    return status([&](auto& r) {
      r.origin = o;
      r.has_origin = true;
    });
  };
  EXPECT_EQ(origin("http://example.com:8787"), 0);
  EXPECT_EQ(origin("https://EXAMPLE.com:8787"), 0);
  EXPECT_EQ(origin("http://example.com"), 403);
  EXPECT_EQ(origin("http://evil.com:8787"), 403);
  EXPECT_EQ(origin("null"), 403);
  EXPECT_EQ(origin(""), 403);
  EXPECT_NE(upgrade_refusal_headers(426).find("Sec-WebSocket-Version: 13"), std::string::npos);
}

TEST(HttpResponse, HeadHasTheLengthAndNoBody) {
  std::string out;
  append_http_response(out, 200, "text/plain", "hello", true, true);
  EXPECT_NE(out.find("Content-Length: 5\r\n"), std::string::npos);
  EXPECT_TRUE(out.ends_with("\r\n\r\n"));
}

}  // namespace
}  // namespace evodb::gate
