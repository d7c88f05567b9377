// What the examples in src/store leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>

#include <curl/curl.h>

#include "base/clock.h"

// --- store/curl_handle.h
std::size_t take_body(char* from, std::size_t size, std::size_t count, void* into);
void say(const std::string& line);

// --- store/local_store.h
extern const std::string bytes;

// --- store/s3_transport.h
extern S3Transport& transport;
extern const std::string bytes;

// --- store/sigv4.h
extern const std::string body;
extern const Credentials credentials;
extern const UnixMillis now;
void send(const std::string& name, const std::string& value);

// --- store/store.h
extern const std::string key, bytes;

// --- store/store_probe.h
extern std::unique_ptr<ObjectStore> store;
extern base::Random& random;
void say(const std::string& line);
