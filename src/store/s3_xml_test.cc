#include "store/s3_xml.h"

#include <gtest/gtest.h>

namespace evodb::store {
namespace {

TEST(S3Xml, ReadsAPageWithEntitiesAndUnknownElements) {
  const auto page = parse_list_page(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
      "<IsTruncated>true</IsTruncated><!-- a note --><NextContinuationToken>a&amp;b==</"
      "NextContinuationToken>"
      "<Contents><Key>a &lt;b&gt; &#x41;&#233;/&quot;&apos;</Key>"
      "<LastModified>2026-11-24T08:35:10.123Z</LastModified><ETag>&quot;e&quot;</ETag>"
      "<Size>42</Size><Owner><ID>x</ID></Owner></Contents>"
      "<Contents><Key><![CDATA[<raw>]]></Key><Size>0</Size></Contents><CommonPrefixes/>"
      "</ListBucketResult>\n");
  ASSERT_TRUE(page) << page.error().text;
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "a <b> Aé/\"'");
  EXPECT_EQ(page->objects[0].bytes, 42u);
  EXPECT_EQ(page->objects[0].modified.value, 1'795'509'310'123);
  EXPECT_EQ(page->objects[1].key, "<raw>");
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->continuation, "a&b==");
}

TEST(S3Xml, RefusesWhatIsNoListing) {
  for (const char* xml :
       {"", "hello", "<html><body>hi</body></html>", "<ListBucketResult>",
        "<ListBucketResult><a></b></ListBucketResult>",
        "<!DOCTYPE x><ListBucketResult></ListBucketResult>",
        "<ListBucketResult>&unknown;</ListBucketResult>", "<ListBucketResult/><ListBucketResult/>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
        "</ListBucketResult>"}) {
    EXPECT_FALSE(parse_list_page(xml)) << xml;
  }
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  EXPECT_FALSE(parse_list_page(deep));
}

TEST(S3Xml, ReadsAnError) {
  const S3Error error = parse_s3_error(
      "<Error><Code>NoSuchBucket</Code><Message>gone &amp; "
      "away</Message><Region>eu</Region></Error>");
  EXPECT_EQ(error.code, "NoSuchBucket");
  EXPECT_EQ(error.message, "gone & away");
  EXPECT_EQ(error.region, "eu");
  EXPECT_EQ(parse_s3_error("<html>502</html>").code, "");
  EXPECT_EQ(parse_s3_error("").code, "");
  EXPECT_EQ(parse_s3_error("{\"Error\": \"<Error><Code>x</Code></Error>\"}").code, "");
}

TEST(S3Xml, ReadsAnErrorWhereverItStandsAndWhereverItBreaksOff) {
  EXPECT_EQ(parse_s3_error("\xef\xbb\xbf\r\n<?xml version=\"1.0\"?>\n<Error>\n <Code> SlowDown\n"
                           "</Code></Error>")
                .code,
            "SlowDown");
  EXPECT_EQ(parse_s3_error("<ErrorResponse><Error><Code>InternalError</Code></Error>"
                           "<RequestId>1</RequestId></ErrorResponse>")
                .code,
            "InternalError");
  EXPECT_EQ(parse_s3_error("<Error><Code>InternalError</Code><Message>We encount").code,
            "InternalError");
  EXPECT_EQ(parse_s3_error("<Error><Code>Internal").code, "");
}

TEST(S3Xml, ReadsTimes) {
  EXPECT_EQ(parse_iso_time("1970-01-01T00:00:00Z").value, 0);
  EXPECT_EQ(parse_iso_time("2024-02-29T12:00:00.5Z").value, 1'709'208'000'500);
  EXPECT_EQ(parse_iso_time("yesterday").value, 0);
  EXPECT_EQ(parse_iso_time("2024-13-01T00:00:00Z").value, 0);
}

}  // namespace
}  // namespace evodb::store
