#include "lake/case_folding.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <vector>

#include <gtest/gtest.h>

namespace evodb::lake {
namespace {

TEST(CaseFolding, NamesThatAnEngineTakesForTheSameFoldTogether) {
  const std::vector<std::vector<std::string>> twins = {
      {"Album", "ALBUM", "album"},
      {"ÄRGER", "ärger"},
      {"ő", "Ő"},
      {"Straße", "STRASSE", "strasse", "STRAẞE"},
      {"σοφος", "σοφοσ", "ΣΟΦΟΣ"},
      {"k", "K", "\u212a"},             // Kelvin
      {"s", "S", "\u017f"},             // long s
      {"i", "I", "ı", "İ", "i\u0307"},  // with and without a dot
      {"ա", "Ա"},                       // Armenian
      {"ა", "Ა"},                       // Georgian
      {"ａ", "Ａ"},                     // fullwidth
      {"\u13a0", "\uab70"},             // Cherokee
      {"ж", "Ж"},
      {"\U00010400", "\U00010428"}};  // Deseret
  for (std::size_t a = 0; a < twins.size(); ++a) {
    for (const std::string& name : twins[a]) {
      EXPECT_EQ(fold_case(name), fold_case(twins[a][0])) << name;
      for (std::size_t b = 0; b < a; ++b) EXPECT_NE(fold_case(name), fold_case(twins[b][0]));
    }
  }
}

TEST(CaseFolding, LowerCaseLeavesWhatHasNone) {
  EXPECT_EQ(lower_case("ÄRGER Straße 表 ΣΟΦΟΣ ς ŐR ı"), "ärger straße 表 σοφοσ ς őr ı");
}

TEST(CaseFolding, WhatIsNoUtf8StaysAsItIs) {
  const std::string bytes = "A\xff\xc3(\xe2\x82Z\xf0\x9f\x98\xc0\x80\xed\xa0\x80";
  std::string folded = bytes;
  folded[0] = 'a';
  folded[folded.find('Z')] = 'z';
  EXPECT_EQ(fold_case(bytes), folded);
}

TEST(CaseFolding, IsPythonsForEveryCharacterAndFoldingTwiceChangesNothing) {
  const std::string python = EVODB_SOURCE_DIR "/.deps/venv/bin/python";
  if (::access(python.c_str(), X_OK) != 0) GTEST_SKIP() << "no .deps/venv: run scripts/setup";
  FILE* pipe =
      ::popen(("'" + python + "' '" EVODB_SOURCE_DIR "/scripts/case-folding' --all").c_str(), "r");
  std::string theirs;
  std::array<char, 65536> chunk;
  while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
    theirs.append(chunk.data(), n);
  }
  ASSERT_EQ(::pclose(pipe), 0);
  std::size_t at = 0;
  const auto utf8_of = [](std::uint32_t c) {
    std::string out;
    const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xc0 | c >> 6), put(0x80 | (c & 63));
    } else if (c < 0x10000) {
      put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 63)), put(0x80 | (c & 63));
    } else {
      put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 63)), put(0x80 | (c >> 6 & 63)),
          put(0x80 | (c & 63));
    }
    return out;
  };
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    const std::string folded = fold_case(utf8_of(c));
    ASSERT_EQ(theirs.substr(at, folded.size() + 1), folded + "\n") << "U+" << std::hex << c;
    at += folded.size() + 1;
    ASSERT_EQ(fold_case(folded), folded) << "U+" << std::hex << c;
  }
  EXPECT_EQ(at, theirs.size());
}

}  // namespace
}  // namespace evodb::lake
