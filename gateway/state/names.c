/* names - two lists of words: what the weather can be, and what one meets in the mountains. Pure but
 * for the random numbers. */
#include "state/names.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/token.h"

static const char *const adjectives[] = {
	"amber", "ancient", "autumn", "balmy", "blazing", "blue", "breezy", "bright", "brisk", "calm",
	"clear", "cloudless", "cool", "coral", "crimson", "crisp", "dappled", "dawning", "deep", "drifting",
	"early", "evening", "fair", "fresh", "frosty", "gentle", "gilded", "glowing", "golden", "hazy",
	"high", "hushed", "icy", "indigo", "ivory", "late", "lofty", "lucid", "mellow", "mild",
	"misty", "moonlit", "morning", "northern", "opal", "pale", "pearly", "quiet", "radiant", "rainy",
	"rosy", "russet", "serene", "shining", "silver", "snowy", "southern", "starry", "still", "sunlit",
	"tranquil", "twilight", "velvet", "warm", "western", "wide", "windy", "winter",
};
static const char *const nouns[] = {
	"alder", "alpenrose", "arnica", "aspen", "badger", "beech", "birch", "boulder", "brook", "cairn",
	"canyon", "chamois", "chough", "cirque", "cliff", "clover", "cornice", "couloir", "creek", "dipper",
	"eagle", "edelweiss", "falcon", "fern", "finch", "fir", "fjord", "gentian", "glacier", "gorge",
	"granite", "harebell", "hawk", "heather", "hemlock", "ibex", "juniper", "kestrel", "lake", "larch",
	"ledge", "lichen", "linnet", "lynx", "marmot", "meadow", "moraine", "moss", "otter", "owl",
	"pass", "pebble", "pine", "plover", "ptarmigan", "raven", "ridge", "rowan", "saddle", "sparrow",
	"spring", "spruce", "summit", "tarn", "thistle", "thrush", "valley", "vole", "waterfall", "willow",
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

void name_generate(char out[NAME_GENERATED_MAX], unsigned retry)
{
	uint32_t r[3];
	const char *a, *n;

	random_bytes(r, sizeof(r));
	a = adjectives[r[0] % COUNT(adjectives)];
	n = nouns[r[1] % COUNT(nouns)];
	if (retry)
		snprintf(out, NAME_GENERATED_MAX, "%s_%s%u", a, n, r[2] % 10000);
	else
		snprintf(out, NAME_GENERATED_MAX, "%s_%s", a, n);
}

bool name_valid(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strlen(name);

	return n >= 2 && strspn(name, first) >= 1 && strspn(name, rest) == n;
}
