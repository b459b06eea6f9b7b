/* service_account - a JSON web token, signed with the file's key, for an access token (AIP-4112).
 *
 * Where no token endpoint answers, and in another universe than googleapis.com, which has none, the signed
 * token with our scope is itself the access token (AIP-4111). It is not the rule because registries take
 * Google's access tokens for certain and self-signed ones not. Clocks: "iat" lies 10 s back, and a grant that is
 * refused while Google's clock differs from ours is asked once more by Google's. */
#include "auth/service_account.h"

#include <string.h>

#include "auth/fetch.h"
#include "auth/sign.h"
#include "base/log.h"

#define TOKEN_URI "https://oauth2.googleapis.com/token"
#define GRANT_TYPE "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define LIFE_S 3600
#define BACK_S 10
#define SKEW_S 30 /* less is no reason for a refusal */

static char *sign(struct fetch *f, json_t *claims, struct err *err)
{
	const char *kid = adc_text(&f->adc, "private_key_id");
	int64_t iat = fetch_google_now_s(f) - BACK_S;
	json_t *header = json_object();

	f->signed_ahead_s = *f->clock_ahead_s;
	if (kid)
		json_object_set_new(header, "kid", json_string(kid));
	json_object_set_new(claims, "iss", json_string(adc_text(&f->adc, "client_email")));
	json_object_set_new(claims, "scope", json_string(FETCH_SCOPE));
	json_object_set_new(claims, "iat", json_integer(iat));
	json_object_set_new(claims, "exp", json_integer(iat + LIFE_S));
	return sign_jwt(adc_text(&f->adc, "private_key"), header, claims, err);
}

static void give_self_signed(struct fetch *f)
{
	struct err err;
	AUTO_FREE char *jwt = sign(f, json_pack("{s:s}", "sub", adc_text(&f->adc, "client_email")), &err);

	if (jwt)
		fetch_token(f, jwt, LIFE_S - BACK_S);
	else
		fetch_fail(f, &err);
}

static bool on_unanswered(struct fetch *f)
{
	log_warn("the token endpoint does not answer, a self-signed token is used", "url=%s", f->url);
	f->unanswered = NULL;
	give_self_signed(f);
	return true;
}

static void ask_grant(struct fetch *f);

/* The refusal itself told us the time. */
static bool clock_was_wrong(const struct fetch *f)
{
	return llabs(*f->clock_ahead_s - f->signed_ahead_s) > SKEW_S;
}

static void on_granted(struct fetch *f, const struct http_response *r)
{
	struct err err;

	f->unanswered = NULL;
	if (r->status == 200) {
		fetch_oauth_step(f, r);
	} else if (r->status == 400 && clock_was_wrong(f) && !f->skew_corrected) {
		log_warn("this machine's clock is wrong, Google's is used for its tokens", "google_ahead=%llds",
			 (long long)*f->clock_ahead_s);
		f->skew_corrected = true;
		ask_grant(f);
	} else {
		fetch_refusal(f, r, r->status == 400 ? " (is the key still enabled, and this machine's clock right?)" : "",
			      &err);
		fetch_fail(f, &err);
	}
}

static void ask_grant(struct fetch *f)
{
	const char *uri = adc_text(&f->adc, "token_uri");
	struct err err;
	AUTO_FREE char *jwt = NULL;

	uri = uri ? uri : TOKEN_URI;
	jwt = sign(f, json_pack("{s:s}", "aud", uri), &err);
	if (!jwt) {
		fetch_fail(f, &err);
		return;
	}
	f->unanswered = on_unanswered;
	fetch_post_form(f, uri, on_granted, (const struct form_field[]){
		{"grant_type", GRANT_TYPE}, {"assertion", jwt}, {NULL, NULL},
	});
}

void service_account_start(struct fetch *f)
{
	if (strcmp(f->adc.universe, "googleapis.com") == 0)
		ask_grant(f);
	else
		give_self_signed(f);
}

int service_account_check(const struct adc *a, struct err *err)
{
	struct err why;

	if (sign_check_key(adc_text(a, "private_key"), &why) < 0)
		return adc_refuse(a, err, "the field \"private_key\" is %s", why.msg);
	return 0;
}
