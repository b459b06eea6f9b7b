/* banned - functions nobody here may call: unbounded, silent on error, or not what they seem.
 * Included last by every .c file's own header chain through the compiler's -include flag. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

/* The system headers that declare them must come first, or the poison would hit those. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok
#pragma GCC poison gmtime localtime ctime asctime atoi atol atoll

#endif
