/*
 * Preloaded into User Mode Linux where this CPU has more register state than it has room for.
 *
 * UML keeps a process's XSAVE area in a buffer whose size was fixed when it was built (2696 bytes:
 * all up to AVX-512 and PKRU). A CPU with AMX has an area of 11008 bytes. The host's kernel takes
 * PTRACE_SETREGSET of NT_X86_XSTATE only whole, so UML panics at its first process with
 * "ptrace set fp regs failed, errno = 14". Here the area is cut when it is read and made whole
 * again, with initial state behind, when it is written. Components that do not fit are said to be
 * in their initial state (XSTATE_BV, Intel SDM volume 1, 13.4.2), those that fit stay as they are.
 *
 * UML calls ptrace from one thread only, on kernel stacks of a few pages: so the buffer is static.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { AREA_MOST = 65536, XSTATE_BV = 512, HEADER_END = 576 };

static unsigned char area[AREA_MOST];

/* The components that lie whole within the first `size` bytes of the standard format. */
static uint64_t fitting(size_t size)
{
    static uint64_t found;
    static size_t found_for;
    unsigned int length, offset, flags, unused;

    if (found_for != size) {
        found = 3; /* x87 and SSE lie before the header */
        for (unsigned int component = 2; component < 63; component++)
            if (__get_cpuid_count(0xd, component, &length, &offset, &flags, &unused) && length &&
                !(flags & 1) && (size_t)offset + length <= size)
                found |= 1ULL << component;
        found_for = size;
    }
    return found;
}

static long read_area(pid_t pid, struct iovec *narrow)
{
    struct iovec wide = {area, AREA_MOST};
    uint64_t present;
    long result = syscall(SYS_ptrace, (long)PTRACE_GETREGSET, (long)pid, (long)NT_X86_XSTATE, &wide);

    if (result < 0)
        return result;
    if (narrow->iov_len > wide.iov_len)
        narrow->iov_len = wide.iov_len;
    if (narrow->iov_len < wide.iov_len && narrow->iov_len >= HEADER_END) {
        memcpy(&present, area + XSTATE_BV, sizeof present);
        present &= fitting(narrow->iov_len);
        memcpy(area + XSTATE_BV, &present, sizeof present);
    }
    memcpy(narrow->iov_base, area, narrow->iov_len);
    return 0;
}

static long write_area(pid_t pid, const struct iovec *narrow)
{
    struct iovec wide = {area, AREA_MOST};
    size_t size = narrow->iov_len;

    if (size > AREA_MOST) {
        errno = EINVAL;
        return -1;
    }
    memcpy(area, narrow->iov_base, size);
    memset(area + size, 0, AREA_MOST - size);
    return syscall(SYS_ptrace, (long)PTRACE_SETREGSET, (long)pid, (long)NT_X86_XSTATE, &wide);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    long result, word;
    pid_t pid;
    void *address, *data;

    va_start(arguments, request);
    pid = va_arg(arguments, pid_t);
    address = va_arg(arguments, void *);
    data = va_arg(arguments, void *);
    va_end(arguments);

    if (request == PTRACE_GETREGSET && (uintptr_t)address == NT_X86_XSTATE)
        return read_area(pid, data);
    if (request == PTRACE_SETREGSET && (uintptr_t)address == NT_X86_XSTATE)
        return write_area(pid, data);
    /* These return the word that they read, where the system call stores it: ptrace(2). */
    if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
        result = syscall(SYS_ptrace, (long)request, (long)pid, address, &word);
        if (result < 0)
            return result;
        errno = 0;
        return word;
    }
    return syscall(SYS_ptrace, (long)request, (long)pid, address, data);
}
