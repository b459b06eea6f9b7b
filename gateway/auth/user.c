/* user - a person's refresh token for an access token: what `gcloud auth application-default login` leaves
 * (AIP-4113), and its like for workforce pools. */
#include <string.h>

#include "auth/fetch.h"

#define TOKEN_URI "https://oauth2.googleapis.com/token"

static void on_answer(struct fetch *f, const struct http_response *r)
{
	struct err err;

	if (r->status == 200) {
		fetch_oauth_step(f, r);
		return;
	}
	fetch_refusal(f, r, r->status == 400 || r->status == 401 ? " (log in again: gcloud auth application-default login)"
		      : "", &err);
	fetch_fail(f, &err);
}

void user_start(struct fetch *f)
{
	const char *id = adc_text(&f->adc, "client_id"), *secret = adc_text(&f->adc, "client_secret");
	const char *uri = adc_text(&f->adc, "token_uri");
	bool by_header = f->adc.type == ADC_EXTERNAL_USER;

	if (by_header) {
		uri = adc_text(&f->adc, "token_url");
		fetch_basic(f, id, secret);
	}
	fetch_post_form(f, uri ? uri : TOKEN_URI, on_answer, (const struct form_field[]){
		{"grant_type", "refresh_token"},
		{"client_id", by_header ? NULL : id},
		{"client_secret", by_header ? NULL : secret},
		{"refresh_token", adc_text(&f->adc, "refresh_token")},
		{NULL, NULL},
	});
}
