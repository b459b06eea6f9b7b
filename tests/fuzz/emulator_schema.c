/* fuzz: a peer's JSON against the table of a Job's fields. What passes is normal: parsing it again
 * changes nothing. */
#include "../../src/emulator/rpc.c"
#include "../../src/emulator/schema.c"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *in = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct rpc_error e = { 0 };
	json_t *once = in ? schema_parse(&schema_job, "job", in, &e) : NULL;
	json_t *twice = once ? schema_parse(&schema_job, "job", once, &e) : NULL;

	if (in && !once && (e.code != RPC_INVALID_ARGUMENT || !*e.message))
		abort();
	if (once && (!twice || !json_equal(once, twice)))
		abort();
	json_decref(in);
	json_decref(once);
	json_decref(twice);
	json_decref(e.violations);
	return 0;
}
