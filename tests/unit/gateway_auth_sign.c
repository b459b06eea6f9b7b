/* Signatures: a JSON web token verified with the public key, Amazon's published examples, what is no key. */
#include "auth_fixture.h"

#include "auth/external.h"
#include "auth/sign.h"

Test(auth_sign, a_web_token_verifies_with_the_public_key_and_no_other)
{
	EVP_PKEY *key, *other;
	AUTO_FREE char *pem = make_key(2048, &key), *unused = make_key(2048, &other);
	struct err err = {0};
	AUTO_FREE char *jwt = sign_jwt(pem, json_pack("{s:s}", "kid", "k1"), json_pack("{s:s,s:i}", "iss", "me", "iat", 7),
				       &err);
	json_t *head, *claims;

	cr_assert(jwt != NULL, "%s", err.msg);
	head = jwt_part(jwt, 0);
	claims = jwt_part(jwt, 1);
	cr_expect_str_eq(json_string_value(json_object_get(head, "alg")), "RS256");
	cr_expect_str_eq(json_string_value(json_object_get(head, "typ")), "JWT");
	cr_expect_str_eq(json_string_value(json_object_get(head, "kid")), "k1");
	cr_expect_str_eq(json_string_value(json_object_get(claims, "iss")), "me");
	cr_expect(json_integer_value(json_object_get(claims, "iat")) == 7);
	cr_expect(jwt_verifies(jwt, key) && !jwt_verifies(jwt, other));
	json_decref(head);
	json_decref(claims);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

Test(auth_sign, what_is_no_key_is_told_without_quoting_it)
{
	static const char ec[] =
		"-----BEGIN PRIVATE KEY-----\n"
		"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
		"OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
		"1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n"
		"-----END PRIVATE KEY-----\n";
	AUTO_FREE char *small = make_key(1024, NULL);
	struct err err = {0};

	cr_expect(sign_check_key("SECRETTEXT", &err) < 0);
	cr_expect_str_eq(err.msg, "not a private key in PEM");
	cr_expect(sign_check_key(ec, &err) < 0);
	cr_expect_str_eq(err.msg, "not an RSA key");
	cr_expect(sign_check_key(small, &err) < 0);
	cr_expect_str_eq(err.msg, "an RSA key of 1024 bits only");
	cr_expect(sign_jwt("SECRETTEXT", json_object(), json_object(), &err) == NULL && !strstr(err.msg, "SECRET"));
}

Test(auth_sign, percent_encoding)
{
	AUTO_FREE char *s = sign_percent_encode("aZ0-_.~ /+&=%\xe1\x88\xb4", ""), *t = sign_percent_encode("a/b c", "/");

	cr_expect_str_eq(s, "aZ0-_.~%20%2F%2B%26%3D%25%E1%88%B4");
	cr_expect_str_eq(t, "a/b%20c");
}

/* ---- Amazon ------------------------------------------------------------------------------------- */

static void expect_signature(struct aws_request q, const char *names, const char *signature)
{
	json_t *r = aws_sign(&q), *h;
	const char *authorization = "";
	AUTO_FREE char *end = xasprintf("SignedHeaders=%s, Signature=%s", names, signature);
	size_t i;

	json_array_foreach(json_object_get(r, "headers"), i, h)
		if (strcmp(json_string_value(json_object_get(h, "key")), "Authorization") == 0)
			authorization = json_string_value(json_object_get(h, "value"));
	cr_expect(strstr(authorization, end), "%s\n%s", authorization, end);
	cr_expect_str_eq(json_string_value(json_object_get(r, "url")), q.url);
	cr_expect_str_eq(json_string_value(json_object_get(r, "method")), q.method);
	json_decref(r);
}

#define AT_2015 1440938160 /* 20150830T123600Z, of Amazon's test suite */
#define AT_2020 1597128922 /* 20200811T065522Z */
#define SUITE .key_id = "AKIDEXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", .now_s = AT_2015, \
	.region = "us-east-1", .service = "service"
#define KEYS_2020 .key_id = "AKIAIOSFODNN7EXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", \
	.now_s = AT_2020, .region = "us-east-2"

Test(auth_sign, amazons_published_examples)
{
	struct aws_request iam = {.method = "GET", .url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", SUITE};

	/* "Create a signed AWS API request", the example worked through there. */
	iam.service = NULL;
	strv_add(&iam.headers, "content-type: application/x-www-form-urlencoded; charset=utf-8");
	expect_signature(iam, "content-type;host;x-amz-date",
			 "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
	strv_release(&iam.headers);
	/* The test suite: get-vanilla, get-vanilla-query-order-key-case, post-vanilla. */
	expect_signature((struct aws_request){.method = "GET", .url = "https://example.amazonaws.com/", SUITE}, "host;x-amz-date",
			 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	expect_signature((struct aws_request){.method = "GET",
			 .url = "https://example.amazonaws.com/?Param2=value2&Param1=value1", SUITE}, "host;x-amz-date",
			 "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
	expect_signature((struct aws_request){.method = "POST", .url = "https://example.amazonaws.com/", SUITE}, "host;x-amz-date",
			 "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

Test(auth_sign, get_caller_identity_as_googles_libraries_sign_it)
{
	static const char url[] = "https://sts.us-east-2.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
	static const char token[] = "AQoEXAMPLEH4aoAH0gNCAPyJxz4BlCFFxWNE1OPTgk5TthT+FvwqnKwRcOIfrRh3c/LTo6UDdyJwOOvEVPvLXCrrrUt"
		"dnniCEXAMPLE/IvU1dYUg2RVAJBanLiHb4IgRmpRV3zrkuWJOgQs8IZZaIv2BXIa2R4OlgkBN9bkUDNCJiBeb/AXlzBBko7b15fjrBs2+cTQt"
		"pZ3CYWFXG8C5zqx37wnOE49mRl/+OtkIKGO7fAE";

	expect_signature((struct aws_request){.method = "POST", .url = url, KEYS_2020}, "host;x-amz-date",
			 "9e722e5b7bfa163447e2a14df118b45ebd283c5aea72019bdf921d6e7dc01a9a");
	expect_signature((struct aws_request){.method = "POST", .url = url, .session_token = token, KEYS_2020},
			 "host;x-amz-date;x-amz-security-token",
			 "596aa990b792d763465d73703e684ca273c45536c6d322c31be01a41d02e5b60");
}

/* ---- what an executable says ---------------------------------------------------------------------- */

#define HEAD "{\"version\":1,\"success\":true,\"token_type\":\"urn:ietf:params:oauth:token-type:"

Test(auth_sign, what_an_executable_may_say)
{
	static const struct {
		const char *text, *token, *why;
		bool need_end;
	} cases[] = {
		{HEAD "id_token\",\"id_token\":\"T\",\"expiration_time\":1001}", "T", NULL, true},
		{HEAD "jwt\",\"id_token\":\"T\"}", "T", NULL, false},
		{HEAD "saml2\",\"saml_response\":\"S\"}", "S", NULL, false},
		{HEAD "jwt\",\"id_token\":\"T\"}", NULL, "the response's token has ended", true},
		{HEAD "jwt\",\"id_token\":\"T\",\"expiration_time\":1000}", NULL, "the response's token has ended", false},
		{HEAD "jwt\",\"id_token\":\"T\",\"expiration_time\":\"x\"}", NULL, "the response's \"expiration_time\" is not a number", false},
		{HEAD "saml2\",\"id_token\":\"T\"}", NULL, "the response has no \"saml_response\"", false},
		{HEAD "jwt\"}", NULL, "the response has no \"id_token\"", false},
		{HEAD "other\",\"id_token\":\"T\"}", NULL, "the response's \"token_type\" is neither jwt, id_token nor saml2", false},
		{"{\"version\":1,\"success\":true,\"id_token\":\"T\"}", NULL, "the response has no \"token_type\"", false},
		{"{\"version\":2,\"success\":true}", NULL, "the response's \"version\" is 2, known is 1", false},
		{"{\"success\":true}", NULL, "the response has no \"version\"", false},
		{"{\"version\":1}", NULL, "the response has no \"success\"", false},
		{"{\"version\":1,\"success\":false,\"code\":\"401\",\"message\":\"no login\"}", NULL,
		 "the executable failed with 401: no login", false},
		{"{\"version\":1,\"success\":false}", NULL, "the response tells a failure without \"code\" and \"message\"", false},
		{"T", NULL, "the response is no JSON object", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err err = {0};
		AUTO_FREE char *token = external_executable_read(cases[i].text, strlen(cases[i].text), 1000, cases[i].need_end, &err);

		if (cases[i].token)
			cr_expect(token && strcmp(token, cases[i].token) == 0, "%s: %s", cases[i].text, err.msg);
		else
			cr_expect(!token && strcmp(err.msg, cases[i].why) == 0, "%s: %s", cases[i].text, err.msg);
	}
	(void)fixture_file, (void)credentials_setup, (void)credentials_teardown, (void)use_credentials;
}
