/* cppcheck - what it needs to know of macros in system headers, which it does not read: loops are loops. */
#define DL_FOREACH(head, el) for (el = head; el; el = el->next)
#define DL_FOREACH_SAFE(head, el, tmp) for (el = head; el && (tmp = el->next, 1); el = tmp)
#define LL_FOREACH(head, el) for (el = head; el; el = el->next)
#define LL_FOREACH_SAFE(head, el, tmp) for (el = head; el && (tmp = el->next, 1); el = tmp)
#define LL_FOREACH_SAFE2(head, el, tmp, next) for (el = head; el && (tmp = el->next, 1); el = tmp)
#define steal_ptr(p) steal(p)
#define HASH_ITER(hh, head, el, tmp) for (el = head; el && (tmp = el->hh.next, 1); el = tmp)
#define json_object_foreach(object, key, value) \
	for (key = first_key(object); key && (value = json_object_get(object, key)); key = next_key(object))
#define json_object_foreach_safe(object, tmp, key, value) \
	for (key = first_key(object), tmp = 0; key && (value = json_object_get(object, key)); key = tmp)
#define json_array_foreach(array, i, value) \
	for (i = 0; i < json_array_size(array) && (value = json_array_get(array, i)); i++)
