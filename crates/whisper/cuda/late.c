/* Stands in for one of CUDA's shared libraries when the program is linked, so that the program starts on a machine
 * that does not have the library: with the library itself, the loader would refuse the program before its first line.
 *
 *     program ──calls──▶ cuMemAlloc: jump to where slot_cuMemAlloc points ──▶ missing(), until the door was called
 *                                                                       └──▶ the library's cuMemAlloc, after that
 *
 * The door is the function that everybody has to call first. It opens the library and fills the slots; without the
 * library it returns a status, as every other function does. Nothing is opened before it is called.
 *
 * Made by `build` with
 *   LIBRARY   file name of the library, a string
 *   DOOR      the function that is called first; its arguments are two integers or pointers at most
 *   STATUS    what all functions return while the library is not there
 *   SLOTS     file with one FUNCTION(name) for each other function of the library
 */

#include <dlfcn.h>
#include <pthread.h>

#ifndef __x86_64__
#error "the jumps below are written for x86-64"
#endif

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static int missing(void) { return STATUS; }

static int (*door)(long, long) = (int (*)(long, long))missing;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

/* A jump leaves registers and stack alone, so the arguments arrive whatever they are. */
#define FUNCTION(name)                                                   \
    __attribute__((visibility("hidden"))) void *slot_##name = missing;   \
    __asm__(".text\n"                                                    \
            ".globl " #name "\n"                                         \
            ".type " #name ", @function\n"                               \
            #name ": jmp *slot_" #name "(%rip)\n"                        \
            ".size " #name ", . - " #name "\n");
#include SLOTS
#undef FUNCTION

static void fill(void *library, const char *name, void **slot)
{
    void *found = dlsym(library, name);
    /* An older library may not have them all; what it does not have stays missing. */
    if (found)
        *slot = found;
}

static void open_library(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW);
    if (!library)
        return;
    fill(library, TEXT(DOOR), (void **)&door);
#define FUNCTION(name) fill(library, #name, &slot_##name);
#include SLOTS
#undef FUNCTION
}

int DOOR(long first, long second)
{
    pthread_once(&opened, open_library);
    return door(first, second);
}
