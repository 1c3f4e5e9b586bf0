/* SPDX-License-Identifier: Apache-2.0 */
/* Accept-Encoding, as clients write it, rightly and wrongly. */
#include "http_encoding.h"
#include "suite.h"

/* Two headers are parted by a line's end. */
static const struct {
	const char *says;
	bool gzip;
} table[] = {
	/* What is sent out there. */
	{ "gzip", true },
	{ "gzip, deflate", true },
	{ "deflate, gzip, br, zstd", true },
	{ "gzip;q=1.0, identity; q=0.5, *;q=0", true },
	{ "compress, gzip", true },
	{ "gzip,deflate;q=0.9", true },
	{ "br", false },
	{ "identity", false },
	{ "zstd", false },
	/* Names. */
	{ "x-gzip", true },
	{ "GZIP", true },
	{ "gZip;Q=0.5", true },
	{ "gzipped", false },
	{ "xgzip", false },
	{ "gzi", false },
	{ "*", true },
	{ "", false },
	{ "deflate, *", true },
	/* Weights. */
	{ "gzip;q=0", false },
	{ "gzip;q=0.0", false },
	{ "gzip;q=0.000", false },
	{ "gzip;q=0.001", true },
	{ "gzip;q=1", true },
	{ "gzip;q=1.000", true },
	{ "gzip;q=1.", true },
	{ "gzip;q=0.", false },
	{ "*;q=0", false },
	{ "gzip;q=0, *", false },
	{ "gzip, *;q=0", true },
	{ "*;q=0.1", true },
	{ "x-gzip;q=0, *;q=0.5", false },
	/* Against identity. */
	{ "gzip, identity", true },
	{ "gzip;q=0.5, identity", false },
	{ "gzip;q=0.5, identity;q=0.6", false },
	{ "gzip;q=0.501, identity;q=0.5", true },
	{ "identity;q=0.5, *", true },
	{ "identity, *;q=0.5", false },
	{ "gzip, identity;q=0", true },
	/* Neither: a page that is not liked is better than none. */
	{ "identity;q=0", false },
	{ "gzip;q=0, identity;q=0", false },
	{ "br, *;q=0", false },
	/* Blanks and empty members. */
	{ " gzip ", true },
	{ "\tgzip\t;\tq=1\t", true },
	{ "gzip ; q=0", false },
	{ ", ,gzip,,", true },
	{ ",", false },
	/* What cannot be read. */
	{ "gzip;q=", false },
	{ "gzip;q=2", false },
	{ "gzip;q=1.001", false },
	{ "gzip;q=0.0001", false },
	{ "gzip;q=-1", false },
	{ "gzip;q=.5", false },
	{ "gzip;q=01", false },
	{ "gzip;q =1", false },
	{ "gzip;q= 1", false },
	{ "gzip;level=9", false },
	{ "gzip;q=1;q=1", false },
	{ "gzip;", false },
	{ "gzip deflate", false },
	{ "gzip, (", false },
	{ "\"gzip\"", false },
	{ "gzip;q=0.5\x01", false },
	{ "\xc3\xa9, gzip", false },
	/* Several headers are one list. */
	{ "br\ngzip", true },
	{ "gzip\nidentity;q=0.5", true },
	{ "gzip;q=0.4\nidentity;q=0.5", false },
	{ "gzip\ngzip;q=0", false },
	{ "gzip\n\"", false },
	{ "\"\ngzip", false },
};

START_TEST(each_header_has_its_answer)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_encoding e = HTTP_ENCODING_NONE;
		char *says = strdup(table[i].says), *at = says;

		for (char *line; (line = strsep(&at, "\n"));)
			http_encoding_read(&e, line);
		ck_assert_msg(http_encoding_is_gzip(&e) == table[i].gzip, "\"%s\": %s",
		    table[i].says, table[i].gzip ? "identity" : "gzip");
		free(says);
	}
}
END_TEST

START_TEST(without_a_header_it_is_identity)
{
	struct http_encoding e = HTTP_ENCODING_NONE;

	ck_assert(!http_encoding_is_gzip(&e));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_encoding");
	TCase *t = tcase_create("http_encoding");

	tcase_add_test(t, each_header_has_its_answer);
	tcase_add_test(t, without_a_header_it_is_identity);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
