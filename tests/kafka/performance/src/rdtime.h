#pragma once
#include "rd.h"
