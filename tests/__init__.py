"""Is all of this true?"""
