// What S3Store makes of every odd answer: a transport without a network, whose bucket may carry out
// a request and answer something else.
#include <deque>
#include <map>

#include <gtest/gtest.h>

#include "store/s3_store.h"
#include "store/sigv4.h"

namespace evodb::store {
namespace {

// A bucket, and what it says in place of its own answers, in order.
class Bucket final : public S3Transport {
 public:
  struct Odd {
    bool carried_out = false;
    Result<S3Answer> says = S3Answer{};
  };
  std::map<std::string, std::string>& objects;
  std::deque<std::optional<Odd>>& script;  // nothing: as a healthy server would
  std::vector<std::string>& asked;

  Bucket(std::map<std::string, std::string>& o, std::deque<std::optional<Odd>>& s,
         std::vector<std::string>& a)
      : objects(o), script(s), asked(a) {}

  std::string endpoint() const override { return "http://bucket"; }
  Result<S3Answer> exchange(const S3Request& request) override {
    asked.push_back(request.method);
    std::optional<Odd> odd;
    if (!script.empty()) {
      odd = std::move(script.front());
      script.pop_front();
    }
    if (!odd) return healthy(request);
    if (odd->carried_out) (void)healthy(request);
    return odd->says;
  }

  static S3Answer error(long status, const std::string& code) {
    return {.status = status, .body = "<Error><Code>" + code + "</Code></Error>"};
  }

 private:
  S3Answer healthy(const S3Request& request) {
    const auto at = objects.find(request.key);
    if (request.method == "PUT") {
      const bool conditional = !request.headers.empty();
      if (conditional && at != objects.end()) return error(412, "PreconditionFailed");
      objects[request.key] = request.body;
      return {.status = 200, .etag = "\"any\""};
    }
    if (request.method == "DELETE") {
      objects.erase(request.key);
      return {.status = 204};
    }
    if (at == objects.end()) {
      return request.method == "HEAD" ? S3Answer{.status = 404} : error(404, "NoSuchKey");
    }
    S3Answer found{.status = 200, .etag = "\"any\"", .content_length = at->second.size()};
    if (request.method == "GET") found.body = at->second;
    return found;
  }
};

class S3Answers : public testing::Test {
 protected:
  using Odd = Bucket::Odd;
  void SetUp() override {
    store = S3Store::open({.url = "s3://bucket/w", .access_key_id = "k"},
                          std::make_unique<Bucket>(objects, script, asked))
                .value();
  }
  // What a put of "v" that is answered like this gives. What is answered later is healthy.
  std::optional<ErrorKind> put(bool carried_out, Result<S3Answer> says,
                               PutMode mode = PutMode::kIfAbsent) {
    script.clear();
    script.push_back(Odd{carried_out, std::move(says)});
    const auto done = store->put("k", "v", mode);
    return done ? std::nullopt : std::optional(done.error().kind);
  }
  ErrorKind get(Result<S3Answer> says) {
    script.clear();
    script.push_back(Odd{false, std::move(says)});
    const auto got = store->get("k");
    EXPECT_FALSE(got) << *got;
    return got ? ErrorKind::kInternal : got.error().kind;
  }

  std::map<std::string, std::string> objects;
  std::deque<std::optional<Odd>> script;
  std::vector<std::string> asked;
  std::unique_ptr<S3Store> store;
};

const std::string html = "<!DOCTYPE html><html><body>Sign in to go on</body></html>";

// Answers from which nobody can tell whether the put was carried out.
std::vector<Result<S3Answer>> ambiguous() {
  S3Answer cut{.status = 500, .body = std::string(1000, 'x'), .cut = true};
  return {
      fail(ErrorKind::kOutcomeUnknown, "cut off"),
      Bucket::error(500, "InternalError"),
      Bucket::error(503, "SlowDown"),
      S3Answer{.status = 500, .body = html, .content_type = "text/html"},
      S3Answer{.status = 502},
      cut,
      Bucket::error(200, "InternalError"),  // as CompleteMultipartUpload answers
      S3Answer{.status = 200, .body = html, .etag = "", .content_type = "text/html"},
      S3Answer{.status = 200, .body = html, .etag = "\"e\"", .content_type = "text/html"},
      S3Answer{.status = 200},  // no tag: nobody says that anything was stored
      S3Answer{.status = 200, .body = "x", .cut = true, .etag = "\"e\""},
      S3Answer{.status = 206, .etag = "\"e\""},
      S3Answer{.status = 304},
      S3Answer{.status = 408},
      S3Answer{.status = 412},  // not S3's own word
      S3Answer{.status = 412, .body = html, .content_type = "text/html"},
      S3Answer{.status = 409, .body = html},
  };
}

TEST_F(S3Answers, APutThatWasCarriedOutIsDoneWhateverWasSaid) {
  for (const PutMode mode : {PutMode::kIfAbsent, PutMode::kOverwrite}) {
    for (const auto& says : ambiguous()) {
      objects.clear();
      EXPECT_EQ(put(true, says, mode), std::nullopt)
          << (says ? std::to_string(says->status) + " " + says->body : says.error().text);
      EXPECT_EQ(objects["w/k"], "v");
    }
  }
}

TEST_F(S3Answers, APutThatWasNotCarriedOutIsNeverBelieved) {
  for (const auto& says : ambiguous()) {
    objects.clear();
    EXPECT_EQ(put(false, says), ErrorKind::kOutcomeUnknown)
        << (says ? std::to_string(says->status) + " " + says->body : says.error().text);
    // And where the look fails too.
    script.assign({Odd{true, says}, Odd{false, fail(ErrorKind::kOutcomeUnknown, "cut off")}});
    EXPECT_EQ(store->put("k", "v", PutMode::kIfAbsent).error().kind, ErrorKind::kOutcomeUnknown);
  }
}

TEST_F(S3Answers, AnotherOnesObjectIsNotOurs) {
  objects["w/k"] = "x";  // of the same size
  for (const auto& says : ambiguous()) {
    EXPECT_EQ(put(false, says), ErrorKind::kExists);
    EXPECT_EQ(put(false, says, PutMode::kOverwrite), ErrorKind::kOutcomeUnknown);
  }
  EXPECT_EQ(objects["w/k"], "x");
}

TEST_F(S3Answers, PutAllLooksAtWhatIsSaidToExist) {
  const std::vector<NewObject> one = {{"k", "v"}};
  const Odd lies{false, Bucket::error(412, "PreconditionFailed")};
  script.push_back(lies);
  EXPECT_EQ(store->put_all(one).error().kind, ErrorKind::kRetry) << "nothing is there";
  objects["w/k"] = "v";
  script.push_back(lies);
  EXPECT_TRUE(store->put_all(one)) << "an earlier try's";
  objects["w/k"] = "another's";
  script.push_back(lies);
  EXPECT_EQ(store->put_all(one).error().kind, ErrorKind::kExists);
}

TEST_F(S3Answers, ARefusalOfAPutIsFinalAndNotLookedAt) {
  for (const auto& [says, kind] : std::vector<std::pair<S3Answer, ErrorKind>>{
           {Bucket::error(403, "AccessDenied"), ErrorKind::kInvalid},
           {Bucket::error(403, "RequestTimeTooSkewed"), ErrorKind::kInvalid},
           {Bucket::error(404, "NoSuchBucket"), ErrorKind::kInvalid},
           {{.status = 404, .body = html, .content_type = "text/html"}, ErrorKind::kInvalid},
           {{.status = 301, .bucket_region = "eu-west-1"}, ErrorKind::kInvalid},
           {{.status = 302, .location = "http://login"}, ErrorKind::kInvalid},
           {Bucket::error(307, "TemporaryRedirect"), ErrorKind::kRetry},
           {Bucket::error(409, "ConditionalRequestConflict"), ErrorKind::kRetry},
           {{.status = 429}, ErrorKind::kRetry},
           {Bucket::error(501, "NotImplemented"), ErrorKind::kInvalid},
           {Bucket::error(412, "PreconditionFailed"), ErrorKind::kExists}}) {
    asked.clear();
    EXPECT_EQ(put(false, says), kind) << says.status << " " << says.body;
    EXPECT_EQ(asked, std::vector<std::string>{"PUT"}) << says.status;
  }
  script.assign({Odd{false, S3Answer{.status = 301, .bucket_region = "eu-west-1"}}});
  const auto moved = store->put("k", "v", PutMode::kIfAbsent);
  EXPECT_NE(moved.error().text.find("store.region"), std::string::npos) << moved.error().text;
}

TEST_F(S3Answers, OnlyTheServersOwnWordMakesAnObjectMissing) {
  EXPECT_EQ(get(Bucket::error(404, "NoSuchKey")), ErrorKind::kNotFound);
  EXPECT_EQ(get(Bucket::error(404, "NoSuchBucket")), ErrorKind::kInvalid);
  EXPECT_EQ(get({{.status = 404}}), ErrorKind::kInvalid);
  EXPECT_EQ(get({{.status = 404, .body = html, .content_type = "text/html"}}), ErrorKind::kInvalid);
  EXPECT_EQ(get({{.status = 410, .body = html}}), ErrorKind::kInvalid);
}

TEST_F(S3Answers, AnExcuseIsNoObject) {
  EXPECT_EQ(get(Bucket::error(200, "InternalError")), ErrorKind::kRetry);
  EXPECT_EQ(get(Bucket::error(200, "AccessDenied")), ErrorKind::kRetry);
  EXPECT_EQ(get({{.status = 200, .body = html, .content_type = "text/html; charset=utf-8"}}),
            ErrorKind::kRetry);
  EXPECT_EQ(get({{.status = 206, .body = "part"}}), ErrorKind::kRetry);
  EXPECT_EQ(get({{.status = 204}}), ErrorKind::kRetry);
  EXPECT_EQ(get({{.status = 304}}), ErrorKind::kRetry);
  EXPECT_EQ(get({{.status = 200, .body = "x", .cut = true}}), ErrorKind::kOverLimit);
  objects["w/k"] = "<?xml version=\"1.0\"?><a/>";
  EXPECT_TRUE(store->get("k")) << "XML alone is no excuse";
  objects["w/k"] = "";
  EXPECT_EQ(store->get("k").value(), "");
}

TEST_F(S3Answers, AListingThatIsNoneIsNotEmpty) {
  const auto list = [&](S3Answer says) {
    script.assign({Odd{false, std::move(says)}});
    const auto listed = store->list("");
    EXPECT_FALSE(listed);
    return listed ? ErrorKind::kInternal : listed.error().kind;
  };
  EXPECT_EQ(list({.status = 200}), ErrorKind::kInvalid);
  EXPECT_EQ(list({.status = 200, .body = html}), ErrorKind::kInvalid);
  EXPECT_EQ(list({.status = 200, .body = html, .content_type = "text/html"}), ErrorKind::kRetry);
  EXPECT_EQ(list(Bucket::error(200, "InternalError")), ErrorKind::kRetry);
  EXPECT_EQ(list({.status = 404}), ErrorKind::kInvalid);
  EXPECT_EQ(list({.status = 200, .body = "<ListBucketResult>", .cut = true}),
            ErrorKind::kOverLimit);
  EXPECT_EQ(list({.status = 200,
                  .body = "<ListBucketResult><Contents><Key>elsewhere/k</Key></Contents>"
                          "</ListBucketResult>"}),
            ErrorKind::kCorrupt);
}

TEST_F(S3Answers, ARemoveIsDoneOnlyWhereTheServerSaysSo) {
  const auto remove = [&](S3Answer says) {
    script.assign({Odd{false, std::move(says)}});
    const auto removed = store->remove("k");
    return removed ? std::nullopt : std::optional(removed.error().kind);
  };
  EXPECT_EQ(remove({.status = 204}), std::nullopt);
  EXPECT_EQ(remove(Bucket::error(404, "NoSuchKey")), std::nullopt);
  EXPECT_EQ(remove({.status = 404, .body = html}), ErrorKind::kInvalid);
  EXPECT_EQ(remove(Bucket::error(200, "InternalError")), ErrorKind::kOutcomeUnknown);
  EXPECT_EQ(remove({.status = 200, .body = html}), ErrorKind::kOutcomeUnknown);
  EXPECT_EQ(remove({.status = 500, .body = "x", .cut = true}), ErrorKind::kOutcomeUnknown);
}

// Where the tag is the MD5 of the bytes a HEAD is enough; where it is not, the bytes are compared.
TEST_F(S3Answers, ALookReadsTheObjectOnlyWhereItMust) {
  objects["w/k"] = "v";
  const std::string md5_of_v = "\"9e3669d19b675bd57058fd4664205d2a\"";
  script.assign({Odd{false, S3Answer{.status = 200, .etag = md5_of_v, .content_length = 1}}});
  EXPECT_TRUE(store->holds("k", "v").value());
  EXPECT_EQ(asked, std::vector<std::string>{"HEAD"});
  asked.clear();
  EXPECT_TRUE(store->holds("k", "v").value());
  EXPECT_EQ(asked, (std::vector<std::string>{"HEAD", "GET"}));
  asked.clear();
  EXPECT_FALSE(store->holds("k", "longer").value());
  EXPECT_EQ(asked, std::vector<std::string>{"HEAD"});
  EXPECT_FALSE(store->holds("k", "w").value());
  asked.clear();
  for (const S3Answer& foreign :
       {S3Answer{.status = 200, .body = html, .content_type = "text/html", .content_length = 1},
        S3Answer{.status = 200}, S3Answer{.status = 204}}) {
    script.assign({Odd{false, foreign}});
    EXPECT_EQ(store->holds("k", "v").error().kind, ErrorKind::kRetry);
  }
  EXPECT_EQ(asked, (std::vector<std::string>{"HEAD", "HEAD", "HEAD"})) << "nothing is read for it";
  objects.clear();
  EXPECT_EQ(store->holds("k", "v").error().kind, ErrorKind::kNotFound);
}

}  // namespace
}  // namespace evodb::store
